use std::path::PathBuf;

pub(crate) const USAGE: &str = "usage: job_table --backend URL [--jobs N] [--workers N] [--database FILE] [--crash]";

/// The command line.
pub(crate) struct Options {
    pub(crate) backend: String,
    pub(crate) jobs: u32,
    pub(crate) workers: u32,
    pub(crate) database: PathBuf,
    /// The first worker process dies in the middle of its first job.
    pub(crate) crash: bool,
    /// This process is a worker.
    pub(crate) worker: Option<u32>,
}

impl Options {
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut backend = None;
        let database = std::env::temp_dir().join(format!("job-table-{}.sqlite", std::process::id()));
        let mut options = Self { backend: String::new(), jobs: 40, workers: 4, database, crash: false, worker: None };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            if arg == "--crash" {
                options.crash = true;
                continue;
            }
            let value = args.next().ok_or(format!("{arg} needs a value"))?;
            let number = || value.parse::<u32>().map_err(|_| format!("{arg} is a number, not {value:?}"));
            match &*arg {
                "--backend" => backend = Some(value),
                "--jobs" => options.jobs = number()?,
                "--workers" => options.workers = number()?,
                "--database" => options.database = PathBuf::from(value),
                "--worker" => options.worker = Some(number()?),
                _ => return Err(format!("there is no {arg}")),
            }
        }
        options.backend = backend.ok_or("--backend is missing")?;
        if options.crash && options.workers < 2 {
            return Err("--crash needs a second worker, who takes over".into());
        }
        Ok(options)
    }

    /// The arguments of one worker's process.
    pub(crate) fn for_worker(&self, worker: u32) -> Vec<String> {
        let database = self.database.display().to_string();
        let args = ["--backend", &self.backend, "--database", &database, "--worker", &worker.to_string()];
        let mut args: Vec<_> = args.map(String::from).into();
        if self.crash && worker == 0 {
            args.extend(["--workers", "2", "--crash"].map(String::from));
        }
        args
    }

    pub(crate) fn label(&self) -> String {
        self.worker.map_or("overseer".into(), |worker| format!("worker {worker}"))
    }
}
