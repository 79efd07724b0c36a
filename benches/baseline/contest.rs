//! The contest: one invented log, the model and every peer on it, warm-up and calibration on its first half, numbers from its second.

use std::collections::{BTreeMap, HashMap};

use csv::ReaderBuilder;
use riskgate::{
    assess::Judge,
    config::Config,
    event::Now,
    replay::{
        learn::{Lessons, Pass as LearnPass},
        meter::{Separation, Spread},
        pass::Pass,
        rows::{Clock, Columns, Line, Reading},
        synth::{HEADER, Recipe, Synth, write},
    },
    score::{Model, Tables},
};

use super::{Everybody, Known, Login, hash, peers};

/// Separation by model and label; `pooled` over all labels.
pub type Table = Vec<(String, BTreeMap<String, Separation>)>;

/// Runs the contest on one recipe.
pub fn contest(recipe: Recipe) -> Table {
    let log = log(recipe);
    let records: Vec<csv::ByteRecord> = {
        let mut reader = ReaderBuilder::new().from_reader(log.as_slice());
        reader.byte_records().map(|record| record.expect("an invented row")).collect()
    };
    let header = csv::ByteRecord::from(HEADER.split(',').collect::<Vec<_>>());
    let reading = Reading::Csv(Box::new(Columns::find(&header, &[]).expect("the generator's own columns")));
    let half = records.len() / 2;
    let mut table = rivals(&reading, &records, half);
    table.push(("riskgate".to_owned(), ours(&reading, &records, half)));
    table
}

fn log(recipe: Recipe) -> Vec<u8> {
    let mut log = Vec::new();
    log.extend_from_slice(HEADER.as_bytes());
    log.push(b'\n');
    let mut synth = Synth::new(recipe);
    let mut index = 0;
    while let Some(row) = synth.next() {
        write(&synth, index, &row, &mut log).expect("memory takes everything");
        index += 1;
    }
    log
}

/// The model, its tables learned on the first half.
fn ours(reading: &Reading, records: &[csv::ByteRecord], half: usize) -> BTreeMap<String, Separation> {
    let config = Config::defaults();
    let mono = Now::read().mono;
    let model = Model::bundled(&config.history);
    let lessons = Lessons::new(&model, LearnPass::First);
    let mut pass = Pass::new(&config, Judge::new(&config, model), mono).learning(lessons);
    records[..half].iter().for_each(|record| pass.record(reading, record, (0, 0)).expect("nothing is written"));
    let tables = pass.lessons.take().expect("it was given").first_tables(Tables::bundled());
    let model = Model::new(&tables, &config.history).expect("learned tables are readable");
    let mut pass = Pass::new(&config, Judge::new(&config, model), mono).counting_from(half as u64);
    records.iter().for_each(|record| pass.record(reading, record, (0, 0)).expect("nothing is written"));
    let known = &pass.census.known;
    separations(&known.legit, known.attacks.iter().map(|(label, (spread, _))| (label.to_string(), spread)))
}

fn rivals(reading: &Reading, records: &[csv::ByteRecord], half: usize) -> Table {
    let peers = peers();
    let mut people: HashMap<u64, Known> = HashMap::new();
    let mut all = Everybody::default();
    let mut legit: Vec<Spread> = peers.iter().map(|_| Spread::default()).collect();
    let mut attacks: Vec<BTreeMap<String, Spread>> = peers.iter().map(|_| BTreeMap::new()).collect();
    let mut clock = Clock::default();
    for (number, record) in records.iter().enumerate() {
        let taken = reading.line(record, &mut clock, |line| {
            let Line::SignIn(row) = line else { return };
            if !row.passed {
                return;
            }
            let (login, user) = (Login::of(&row), hash(row.user));
            let known = people.get(&user).filter(|known| known.successes > 0);
            if let Some(known) = known.filter(|_| number >= half) {
                for (at, peer) in peers.iter().enumerate() {
                    let score = peer.score(&login, known, &all);
                    if row.label.is_empty() { legit[at].add(score) } else { attacks[at].entry(row.label.to_owned()).or_default().add(score) }
                }
            }
            if row.label.is_empty() {
                all.people += u32::from(known.is_none());
                all.learn(&login);
                people.entry(user).or_default().learn(&login);
            }
        });
        taken.expect("an invented row");
    }
    let rows = peers.iter().zip(legit).zip(attacks);
    rows.map(|((peer, legit), attacks)| (peer.name().to_owned(), separations(&legit, attacks.iter().map(|(label, spread)| (label.clone(), spread))))).collect()
}

fn separations<'a>(legit: &Spread, attacks: impl Iterator<Item = (String, &'a Spread)>) -> BTreeMap<String, Separation> {
    let mut pooled = Spread::default();
    let mut found = BTreeMap::new();
    for (label, spread) in attacks {
        pooled.merge(spread);
        found.insert(label, legit.separation(spread).expect("both are there"));
    }
    found.insert("pooled".to_owned(), legit.separation(&pooled).expect("both are there"));
    found
}
