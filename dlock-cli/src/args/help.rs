//! What `--help` teaches.

pub(super) const EXAMPLES: &str = "\
Examples:
  dlock run nightly-backup -- backup.sh /home     one backup at a time, the next one waits
  dlock run --no-wait sync -- rsync -a src/ dst/  or not at all, when one is running
  dlock show nightly-backup                       who holds it, and who waits
  dlock conformance --backend redis://HOST        whether that Redis keeps what dlock promises

Locks are kept on this machine unless --backend or DLOCK_BACKEND says where:
  file:///DIRECTORY, redis://HOST:PORT, redis-sentinel://HOST,HOST/SERVICE,
  redis-cluster://HOST,HOST, etcd://HOST:PORT,HOST:PORT

'dlock run --help' has the exit codes and all the details.";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  dlock run nightly-backup -- backup.sh /home
  dlock run --wait 5m deploy -- ./deploy production
  dlock run --no-wait sync -- rsync -a src/ dst/
  dlock run --permits 2 licences -- render scene.blend
  dlock run --backend redis://cache.internal nightly-report -- report.py
  dlock run counter -- sh -c 'echo $(($(cat n) + 1)) >n'

More with --help: exit codes, the job's environment, signals, where locks are kept.";

pub(super) const RUN: &str = "\
Examples:
  dlock run nightly-backup -- backup.sh /home
      One backup at a time. A second one waits, and says for whom.
  dlock run --wait 5m deploy -- ./deploy production
      Wait five minutes at most, then end with code 75.
  dlock run --no-wait sync -- rsync -a src/ dst/
      Do not wait at all.
  dlock run --shared db -- dump.sh; dlock run db -- migrate.sh
      Many dumps at a time, but none beside a migration.
  dlock run --permits 2 licences -- render scene.blend
      Two at a time.
  dlock run --backend redis://cache.internal nightly-report -- report.py
      One at a time on all machines that use this Redis.
  dlock run counter -- sh -c 'echo $(($(cat n) + 1)) >n'
      No shell is involved unless you call one.

Durations are 500ms, 30s, 5m, 1h 30m; a bare number is seconds.

Exit codes:
  the job's own code, or 128 + N when signal N killed it; and from dlock itself:
   64  the command line, a name, a URL or a setting cannot be used
   69  the lock service did not answer, or refused
   70  something is wrong with dlock or with this machine
   75  not acquired: others held the lock, for as long as it was to wait
   79  lost: the lock was lost while the job ran, and the job was ended
  126  the command cannot be executed
  127  the command was not found
  128 + N when signal N came while waiting for the lock

The job's environment:
  DLOCK_NAME   the lock's name
  DLOCK_TOKEN  the fencing token, a number that grows with each holder: let what the job writes
               to refuse lower ones
  DLOCK_EPOCH  tokens compare within one epoch only; it changes when the service lost its history
  DLOCK_OWNER  the claim by which the lock is held, as 'dlock show' prints it
  Of nested runs, the job sees the innermost. Its standard input, output and error are dlock's.

Signals:
  While it waits, INT, TERM, HUP, QUIT, USR1 and USR2 end dlock, and it leaves the line. While
  the job runs they are passed on to it. Ctrl-C and Ctrl-\\ at a terminal reach the job by
  themselves and are not sent twice: to end a foreground job from elsewhere, use TERM.
  Signals that were ignored when dlock started stay ignored, for the job too (nohup).
  Stopped with Ctrl-Z, dlock keeps its lock or its place in the line, and others wait until it goes
  on; with a lock service only for the ttl, and then the lock is lost.

The lock is released when COMMAND ends, even if processes that it has started run on.

When the lock is lost while the job runs (the service was out of reach for too long, or somebody
broke the lock), the job gets TERM, and KILL five seconds later; the next holder may run by then.
Only COMMAND itself gets them: a script that others must not overlap ends what it has started, or
runs its last command with exec.

When dlock itself is killed (KILL): with locks kept on this machine the job inherits the lock,
which ends with the last process of the job. With a lock service the lock lapses after its ttl,
while the job may still be running: let what it writes to check DLOCK_TOKEN.

Where locks are kept without --backend and DLOCK_BACKEND: in a directory of this machine, one for
each user, the same from a login, from cron and from a service:
  /run/dlock                for root
  /run/lock/dlock-UID       for others, where everybody may write to /run/lock
  /tmp/dlock-UID            elsewhere
Users who are to share locks name a directory of a group of theirs, such as file:///srv/locks made
by 'install -d -m 2775 -g GROUP /srv/locks', and run dlock with 'umask 002'.
A URL may carry settings: redis://HOST?namespace=billing&ttl=10s
Prefer DLOCK_BACKEND for one with a password: other users can see a command line.

DLOCK_LOG=debug shows what happens inside.";

pub(super) const SHOW: &str = "\
Examples:
  dlock show nightly-backup
  dlock show --backend etcd://10.0.0.1,10.0.0.2 deploy

AGE is how long ago the claim was made. EXPIRES is after what time the service would end it if
nobody renewed it; a claim with '-' ends with the processes that hold it.
The exit code is 0 for a lock that is free, too; 64 and 69 as for 'dlock run'.";

pub(super) const CONFORMANCE_EXAMPLES: &str = "\
Examples:
  dlock conformance --backend redis://cache.internal
  dlock conformance --backend etcd://10.0.0.1,10.0.0.2 --junit conformance.xml
  dlock conformance --list expiry::

More with --help: what is said of a case, exit codes.";

pub(super) const CONFORMANCE: &str = "\
Examples:
  dlock conformance --backend redis://cache.internal
      Everything, in some ten seconds.
  dlock conformance --backend etcd://10.0.0.1,10.0.0.2 --junit conformance.xml
      With a report for a build server.
  dlock conformance --list expiry::
      The cases about expiry; none is tried, and no service is asked.
  dlock conformance --exact basic::a_second_release_never_frees_the_successor
      One of them.

A case is 'ok', or 'FAILED', or 'not offered' where the service cannot do what the case is about
and dlock says so of it (docs/guarantees.md), and where servers would have to be killed or spoilt,
which yours never are: such a case is not tried, and does not count as passed.
Cases are about time, too: they can fail where this machine or the service is overloaded. Then try
with fewer --jobs.

Nobody else's locks are touched: every case works in a namespace of its own, which begins with the
prefix and something random, and all of them are removed at the end. Ctrl-C ends the run and cleans
up as well; a second one ends at once. Where dlock is killed, keys that begin with 't-' may stay.
The namespaces of a file backend are directories.

Exit codes:
    0  all cases that were tried have passed
    1  some have failed
   64  the command line or the URL cannot be used, or no case has such a name
   69  the lock service did not answer, or refused
   70  something is wrong with dlock or with this machine
  128 + N when signal N ended the run

Prefer DLOCK_BACKEND for a URL with a password: other users can see a command line. Neither the
output nor the report has the password in it.

DLOCK_LOG=debug shows what happens inside.";
