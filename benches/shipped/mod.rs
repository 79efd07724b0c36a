//! Generates the bundled tables of novelty and quantiles, as estimates for operators without a log.
//!
//! They come from two synthetic populations of equal size. Base rates and hours are those in `data/`.

use std::path::Path;

use csv::ReaderBuilder;
use riskgate_config::Config;
use riskgate_engine::{
    evaluator::Evaluator,
    score::model::{Model, Tables},
};
use riskgate_lab::{
    pass::Pass,
    rows::{RecordReader, columns::Columns},
    tables::{LearnPass, TableBuilder},
};
use riskgate_runtime::clock;
use riskgate_synth::{HEADER, Preset, SynthConfig, write_log};

/// The number of people in each population.
const PEOPLE: u32 = 60_000;

/// Writes `novelty.csv` and `quantiles.csv` to a directory.
pub fn write(directory: &Path) {
    let config = Config::defaults();
    let logs = [Preset::RBA, Preset::CONSUMER].map(|preset| {
        let mut log = Vec::new();
        write_log(SynthConfig { users: PEOPLE, seed: 1, preset, attacks: 0.0, from: 1_580_688_000 }, &mut log).expect("writing to memory cannot fail");
        log
    });
    let first = learn(&logs, &config, &Tables::bundled(), LearnPass::First);
    let tables = Tables { novelty: raise_short_term_novelty(&first.build_first_tables(Tables::bundled()).novelty), ..Tables::bundled() };
    let second = learn(&logs, &config, &tables, LearnPass::Second);
    let (tables, summary) = second.build_second_tables(tables);
    println!("{summary}");
    for (name, text) in tables.files().into_iter().filter(|(name, _)| ["novelty.csv", "quantiles.csv"].contains(name)) {
        std::fs::write(directory.join(name), text).expect("the directory is writable");
    }
}

/// Raises the novelty of devices within an hour to at least 3 % (estimate).
///
/// Synthetic people use one device during a burst of sign-ins. Real ones sometimes change from a laptop to a phone.
fn raise_short_term_novelty(novelty: &str) -> String {
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

/// Runs a learning pass over all logs.
fn learn(logs: &[Vec<u8>], config: &Config, tables: &Tables, pass: LearnPass) -> TableBuilder {
    let mut merged: Option<TableBuilder> = None;
    for log in logs {
        let model = Model::new(tables, config.history.model_config()).expect("the tables are valid");
        let builder = TableBuilder::new(&model, pass);
        let mut pass = Pass::new(config, Evaluator::new(&config.decision, model), clock::read().mono).with_table_builder(builder);
        let header = csv::ByteRecord::from(HEADER.split(',').collect::<Vec<_>>());
        let reading = RecordReader::Csv(Box::new(Columns::from_header(&header, &[]).expect("the columns of the generator")));
        for record in ReaderBuilder::new().from_reader(log.as_slice()).byte_records() {
            pass.process_record(&reading, &record.expect("a synthetic row"), (0, 0)).expect("the pass writes no scores");
        }
        let builder = pass.table_builder.take().expect("the pass has a builder");
        match &mut merged {
            None => merged = Some(builder),
            Some(merged) => merged.merge(&builder),
        }
    }
    merged.expect("there is at least one log")
}
