//! Compares the model with all baselines on one synthetic log. Its first half is for learning, the second for the results.

use std::collections::{BTreeMap, HashMap};

use csv::ReaderBuilder;
use riskgate_config::Config;
use riskgate_engine::{
    evaluator::Evaluator,
    score::model::{Model, Tables},
};
use riskgate_lab::{
    pass::Pass,
    roc::{Distribution, Separation},
    rows::{LogLine, RecordReader, columns::Columns, time::TimeParser},
    tables::{LearnPass, TableBuilder},
};
use riskgate_runtime::clock;
use riskgate_synth::{HEADER, SynthConfig, write_log};

use super::{AllUsers, Login, UserCounts, hash};

/// The separation by model and label. The label `pooled` covers all labels.
pub type Table = Vec<(String, BTreeMap<String, Separation>)>;

/// Compares all models on the log of one configuration.
pub fn compare_models(config: SynthConfig) -> Table {
    let mut log = Vec::new();
    write_log(config, &mut log).expect("writing to memory cannot fail");
    let records: Vec<csv::ByteRecord> = {
        let mut reader = ReaderBuilder::new().from_reader(log.as_slice());
        reader.byte_records().map(|record| record.expect("a synthetic row")).collect()
    };
    let header = csv::ByteRecord::from(HEADER.split(',').collect::<Vec<_>>());
    let reader = RecordReader::Csv(Box::new(Columns::from_header(&header, &[]).expect("the columns of the generator")));
    let half = records.len() / 2;
    let mut table = compare_baselines(&reader, &records, half);
    table.push(("riskgate".to_owned(), evaluate_model(&reader, &records, half)));
    table
}

/// Evaluates the model with tables learned on the first half.
fn evaluate_model(reader: &RecordReader, records: &[csv::ByteRecord], half: usize) -> BTreeMap<String, Separation> {
    let config = Config::defaults();
    let mono = clock::read().mono;
    let model = Model::bundled(config.history.model_config());
    let builder = TableBuilder::new(&model, LearnPass::First);
    let mut pass = Pass::new(&config, Evaluator::new(&config.decision, model), mono).with_table_builder(builder);
    records[..half].iter().for_each(|record| pass.process_record(reader, record, (0, 0)).expect("the pass writes no scores"));
    let tables = pass.table_builder.take().expect("the pass has a builder").build_first_tables(Tables::bundled());
    let model = Model::new(&tables, config.history.model_config()).expect("learned tables are readable");
    let mut pass = Pass::new(&config, Evaluator::new(&config.decision, model), mono).with_count_from(half as u64);
    records.iter().for_each(|record| pass.process_record(reader, record, (0, 0)).expect("the pass writes no scores"));
    let known = &pass.counters.known;
    separations(&known.legit, known.attacks.iter().map(|(label, (log_odds, _))| (label.to_string(), log_odds)))
}

/// Evaluates all baselines.
fn compare_baselines(reader: &RecordReader, records: &[csv::ByteRecord], half: usize) -> Table {
    let baselines = super::all();
    let mut users: HashMap<u64, UserCounts> = HashMap::new();
    let mut all = AllUsers::default();
    let mut legit: Vec<Distribution> = baselines.iter().map(|_| Distribution::default()).collect();
    let mut attacks: Vec<BTreeMap<String, Distribution>> = baselines.iter().map(|_| BTreeMap::new()).collect();
    let mut time_parser = TimeParser::default();
    for (number, record) in records.iter().enumerate() {
        let result = reader.read_line(record, &mut time_parser, |line| {
            let LogLine::SignIn(row) = line else { return };
            if !row.passed {
                return;
            }
            let (login, user) = (Login::of(&row), hash(row.user));
            let known = users.get(&user).filter(|known| known.successes > 0);
            if let Some(known) = known.filter(|_| number >= half) {
                for (at, baseline) in baselines.iter().enumerate() {
                    let score = baseline.score(&login, known, &all);
                    if row.label.is_empty() { legit[at].add(score) } else { attacks[at].entry(row.label.to_owned()).or_default().add(score) }
                }
            }
            if row.label.is_empty() {
                all.users += u32::from(known.is_none());
                all.learn(&login);
                users.entry(user).or_default().learn(&login);
            }
        });
        result.expect("a synthetic row");
    }
    let rows = baselines.iter().zip(legit).zip(attacks);
    rows.map(|((baseline, legit), attacks)| {
        (baseline.name().to_owned(), separations(&legit, attacks.iter().map(|(label, log_odds)| (label.clone(), log_odds))))
    })
    .collect()
}

/// Returns the separation of each label, and of all labels as `pooled`.
fn separations<'a>(legit: &Distribution, attacks: impl Iterator<Item = (String, &'a Distribution)>) -> BTreeMap<String, Separation> {
    let mut pooled = Distribution::default();
    let mut separations = BTreeMap::new();
    for (label, log_odds) in attacks {
        pooled.merge(log_odds);
        separations.insert(label, legit.separation(log_odds).expect("neither is empty"));
    }
    separations.insert("pooled".to_owned(), legit.separation(&pooled).expect("neither is empty"));
    separations
}
