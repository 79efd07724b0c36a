//! Makes the shipped tables: novelty and quantiles of two invented populations in equal parts, an estimate for
//! an operator who has no log yet. Base rates and hours stay as they stand in `data/`.

use std::path::Path;

use csv::ReaderBuilder;
use riskgate::{
    assess::Judge,
    config::Config,
    event::Now,
    replay::{
        learn::{Lessons, Pass as LearnPass},
        pass::Pass,
        rows::{Columns, Reading},
        synth::{HEADER, Preset, Recipe, Synth, write as write_row},
    },
    score::{Model, Tables},
};

/// People of each population.
const PEOPLE: u32 = 60_000;

/// Writes `novelty.csv` and `quantiles.csv`.
pub fn write(directory: &Path) {
    let config = Config::defaults();
    let logs = [Preset::RBA, Preset::CONSUMER].map(|preset| log(Recipe { users: PEOPLE, seed: 1, preset, attacks: 0.0, from: 1_580_688_000 }));
    let first = lessons(&logs, &config, &Tables::bundled(), LearnPass::First);
    let tables = Tables { novelty: lived_in(&first.first_tables(Tables::bundled()).novelty), ..Tables::bundled() };
    let second = lessons(&logs, &config, &tables, LearnPass::Second);
    let (tables, said) = second.second_tables(tables);
    println!("{said}");
    for (name, text) in tables.files().into_iter().filter(|(name, _)| ["novelty.csv", "quantiles.csv"].contains(name)) {
        std::fs::write(directory.join(name), text).expect("a directory to write to");
    }
}

/// The generator's people keep their device for a whole burst of sign-ins; real ones take up a phone beside the laptop.
/// So within an hour at least three sign-ins in a hundred bring something new of the device (estimate).
fn lived_in(novelty: &str) -> String {
    let line = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        match (cells.as_slice(), cells.last().and_then(|total| total.parse::<f64>().ok())) {
            ([level @ ("device_type" | "os" | "browser" | "user_agent"), seen, gap @ ("1m" | "10m" | "1h"), novel, _], Some(total)) => {
                let novel = novel.parse::<f64>().expect("a count").max((0.03 * total).round());
                format!("{level},{seen},{gap},{novel},{total}\n")
            }
            _ => format!("{line}\n"),
        }
    };
    novelty.lines().map(line).collect()
}

fn lessons(logs: &[Vec<u8>], config: &Config, tables: &Tables, which: LearnPass) -> Lessons {
    let mut merged: Option<Lessons> = None;
    for log in logs {
        let model = Model::new(tables, &config.history).expect("tables that can be read");
        let lessons = Lessons::new(&model, which);
        let mut pass = Pass::new(config, Judge::new(config, model), Now::read().mono).learning(lessons);
        let header = csv::ByteRecord::from(HEADER.split(',').collect::<Vec<_>>());
        let reading = Reading::Csv(Box::new(Columns::find(&header, &[]).expect("the generator's own columns")));
        for record in ReaderBuilder::new().from_reader(log.as_slice()).byte_records() {
            pass.record(&reading, &record.expect("an invented row"), (0, 0)).expect("nothing is written");
        }
        let found = pass.lessons.take().expect("it was given");
        match &mut merged {
            None => merged = Some(found),
            Some(merged) => merged.merge(&found),
        }
    }
    merged.expect("there are logs")
}

fn log(recipe: Recipe) -> Vec<u8> {
    let mut log = format!("{HEADER}\n").into_bytes();
    let mut synth = Synth::new(recipe);
    let mut index = 0;
    while let Some(row) = synth.next() {
        write_row(&synth, index, &row, &mut log).expect("memory takes everything");
        index += 1;
    }
    log
}
