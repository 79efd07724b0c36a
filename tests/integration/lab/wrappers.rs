//! Replay of logs as services, command lines and container runtimes hand them out, in every encoding.

use std::io::Write as _;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::replay::{replayed, scores};

/// Audit lines of two people, the second one's last.
fn audit() -> Vec<String> {
    let line = |day: u8, user: &str| {
        json!({"schema": 1, "time": format!("2026-01-{day:02}T08:00:00.000Z"), "id": format!("01KE000000000000000000000{day}"), "decision": "allow", "action": "allow",
            "score": 12.5, "reasons": [{"code": "new_device", "weight": 0.2}], "evidence": {"history": "fresh"}, "degraded": null, "trigger": "http",
            "pool": "", "client": "", "user": user, "net": "NNNN", "country": "GB", "asn": 20712, "device": null})
        .to_string()
    };
    vec![line(2, "AAAA"), line(3, "AAAA"), line(4, "BBBB")]
}

fn lines(wrap: impl Fn(usize, &str) -> String) -> String {
    audit().iter().enumerate().map(|(number, line)| wrap(number, line) + "\n").collect()
}

#[track_caller]
fn check(name: &str, text: impl AsRef<[u8]>, expected: (u64, u64, u64)) {
    assert_eq!(replayed(text.as_ref(), &[]), Ok(expected), "{name}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn subscription(lines: &[String]) -> String {
    let events: Vec<Value> = lines.iter().map(|line| json!({"id": "3600", "timestamp": 1_767_340_800_000_u64, "message": format!("{line}\n")})).collect();
    json!({"messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "/aws/lambda/riskgate", "logStream": "2026/01/02/[1]abc", "subscriptionFilters": ["s"],
        "logEvents": events})
    .to_string()
}

#[test]
fn audit_lines_are_read_out_of_their_wrappers() {
    let of = (3, 0, 3);
    let all = audit();
    check("plain", lines(|_, line| line.to_owned()), of);
    check("no line breaks", all.concat(), of);
    check("a list", format!("[{}]", all.join(",")), of);
    check("a list over several lines", format!("[\n  {}\n]\n", all.join(",\n  ")), of);
    check("JSON text sequence", all.iter().map(|line| format!("\u{1e}{line}\n")).collect::<String>(), of);
    check("indented", lines(|_, line| serde_json::to_string_pretty(&serde_json::from_str::<Value>(line).unwrap()).unwrap()), of);
    check("docker", lines(|_, line| json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-01-02T08:00:00.1Z"}).to_string()), of);
    check("containerd", lines(|_, line| format!("2026-01-02T08:00:00.123456789Z stdout F {line}")), of);
    let parts = |line: &str| {
        let (one, two) = line.split_at(40);
        let (two, three) = two.split_at(60);
        format!("2026-01-02T08:00:00.1Z stdout P {one}\n2026-01-02T08:00:00.1Z stdout P {two}\n2026-01-02T08:00:00.1Z stdout F {three}")
    };
    check("containerd, in parts", lines(|_, line| parts(line)), of);
    let parts = |line: &str| {
        let (one, two) = line.split_at(50);
        format!("{}\n{}", json!({"log": one, "stream": "stdout", "time": "t"}), json!({"log": format!("{two}\n"), "stream": "stdout", "time": "t"}))
    };
    check("docker, in parts", lines(|_, line| parts(line)), of);
    check(
        "journald",
        lines(|_, line| json!({"__REALTIME_TIMESTAMP": "1767340800000000", "_SYSTEMD_UNIT": "riskgate.service", "MESSAGE": line}).to_string()),
        of,
    );
    check("FireLens", lines(|_, line| json!({"container_id": "1", "container_name": "riskgate", "source": "stdout", "log": line}).to_string()), of);
    check(
        "Fluent Bit in Kubernetes",
        lines(|_, line| json!({"log": line, "kubernetes": {"pod_name": "riskgate-1", "labels": {"app": "riskgate"}}}).to_string()),
        of,
    );
    check("Vector", lines(|_, line| json!({"host": "h", "message": line, "source_type": "file", "timestamp": "2026-01-02T08:00:00Z"}).to_string()), of);
    check("Vector, parsed", lines(|_, line| json!({"host": "h", "message": serde_json::from_str::<Value>(line).unwrap()}).to_string()), of);
    check("GELF", lines(|_, line| json!({"version": "1.1", "host": "h", "short_message": line, "level": 6}).to_string()), of);
    check("S3 export of a log group", lines(|_, line| format!("2026-01-02T08:00:00.000Z {line}")), of);
    check("aws logs tail", lines(|_, line| format!("2026-01-02T08:00:00.000000+00:00 2026/01/02/[$LATEST]abc {line}")), of);
    let pretty = lines(|_, line| serde_json::to_string_pretty(&serde_json::from_str::<Value>(line).unwrap()).unwrap());
    check("aws logs tail --format json", pretty.replace("{\n  \"", "2026-01-02T08:00:00+00:00 2026/01/02/[$LATEST]abc {\n  \""), of);
    let around = |line: &str| format!("START RequestId: 1 Version: 2\n{line}\nEND RequestId: 1\nREPORT RequestId: 1\tDuration: 2 ms");
    check("Lambda's text log", lines(|_, line| around(line)), of);
    let events: Vec<Value> =
        all.iter().map(|line| json!({"logStreamName": "s", "timestamp": 1, "message": line, "ingestionTime": 2, "eventId": "3"})).collect();
    let page = |events: &[Value]| serde_json::to_string_pretty(&json!({"events": events, "searchedLogStreams": [], "nextToken": "t"})).unwrap();
    check("filter-log-events", page(&events), of);
    check("filter-log-events, page after page", format!("{}\n{}\n", page(&events[..2]), page(&events[2..])), of);
    check("filter-log-events --query", serde_json::to_string_pretty(&events).unwrap(), of);
    let texts = [&["START RequestId: 1\n".to_owned()], all.as_slice()].concat();
    check("--query events[].message", serde_json::to_string_pretty(&texts).unwrap(), of);
    check("jq -c of texts", serde_json::to_string(&texts).unwrap(), of);
    check("jq .message", texts.iter().map(|text| serde_json::to_string(text).unwrap() + "\n").collect::<String>(), of);
    check("a log over a mebibyte on one line", page(&events.iter().cycle().take(3 * 1_500).cloned().collect::<Vec<_>>()).replace("\n", " "), (4_500, 0, 4_500));
    // Newest first, as both of them answer.
    let rows: Vec<Value> =
        all.iter().rev().map(|line| json!([{"field": "@timestamp", "value": "2026-01-02 08:00:00.000"}, {"field": "@message", "value": line}])).collect();
    check("Logs Insights", json!({"results": rows, "statistics": {"recordsMatched": 3.0}, "status": "Complete"}).to_string(), of);
    let values: Vec<Value> = all.iter().rev().map(|line| json!(["1767340800000000000", line])).collect();
    let loki = json!({"status": "success", "data": {"resultType": "streams", "result": [{"stream": {"app": "riskgate"}, "values": values}]}});
    check("Loki", loki.to_string(), of);
    check("logcli -o jsonl", lines(|_, line| json!({"labels": {"app": "riskgate"}, "line": line, "timestamp": "2026-01-02T08:00:00Z"}).to_string()), of);
    let hits: Vec<Value> = all.iter().map(|line| json!({"_index": "i", "_source": serde_json::from_str::<Value>(line).unwrap()})).collect();
    check("OpenSearch", json!({"took": 1, "hits": {"total": {"value": 3}, "hits": hits}}).to_string(), of);
    let control = json!({"messageType": "CONTROL_MESSAGE", "logEvents": [{"id": "", "timestamp": 1, "message": "CWL CONTROL MESSAGE: Checking health of destination Firehose."}]});
    check("subscription", format!("{control}{}{}", subscription(&all[..1]), subscription(&all[1..])), of);
    check("subscription in gzip, twice", gzip(&[gzip(control.to_string().as_bytes()), gzip(subscription(&all).as_bytes())].concat()), of);
    let data = base64(&gzip(subscription(&all).as_bytes()));
    check("Kinesis, as a function gets it", json!({"Records": [{"eventSource": "aws:kinesis", "kinesis": {"data": data}}]}).to_string(), of);
    check("Kinesis, get-records", json!({"Records": [{"SequenceNumber": "1", "Data": data}], "MillisBehindLatest": 0}).to_string(), of);
    check("Firehose transformation", json!({"invocationId": "i", "records": [{"recordId": "1", "data": data}]}).to_string(), of);
    check("a function's subscription", json!({"awslogs": {"data": data}}).to_string(), of);
    check("Firehose, not compressed", json!({"records": [{"data": base64(all.join("\n").as_bytes())}]}).to_string(), of);
    let records: Vec<Value> = all.iter().map(|line| json!({"timeUnixNano": "1", "body": {"stringValue": line}})).collect();
    check("OpenTelemetry", json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).to_string(), of);
    check("Kafka, as a function gets it", json!({"records": {"t-0": [{"topic": "t", "value": base64(all.join("\n").as_bytes())}]}}).to_string(), of);
    check("SQS", json!({"Messages": all.iter().map(|line| json!({"MessageId": "1", "Body": line})).collect::<Vec<_>>()}).to_string(), of);
    check("a pod's name in front", lines(|_, line| format!("[pod/riskgate-1/riskgate] {line}")), of);
    let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    check("console export", format!("timestamp,message\n{}", lines(|_, line| format!("1767340800000,{}", cell(&format!("{line}\n"))))), of);
    let newest_first: String = all.iter().rev().map(|line| format!("2026-01-02 08:00:00.000,{}\n", cell(line))).collect();
    let [oldest, newest] = ["@timestamp,@message\n".to_owned() + &newest_first, lines(|_, line| line.to_owned())].map(|text| scores(&text, false));
    assert_eq!(oldest, newest, "newest first");
    check("one column", format!("\"message\"\n{}", lines(|_, line| cell(line))), of);
    check("Logs Insights as CSV", format!("@timestamp,@message\n{}", lines(|_, line| format!("2026-01-02 08:00:00.000,{}", cell(line)))), of);
}

#[test]
fn what_a_wrapper_holds_besides_is_passed_over_and_damage_costs_one_row() {
    let all = audit();
    let docker = |text: &str| json!({"log": text, "stream": "stderr", "time": "t"}).to_string();
    check(
        "other programs",
        [docker("listening\n"), docker(&format!("{}\n", all[0])), docker("{\"level\":\"INFO\",\"message\":\"x\"}\n")].join("\n"),
        (1, 0, 1),
    );
    check("containerd's text", format!("2026-01-02T08:00:00Z stderr F listening\n2026-01-02T08:00:00Z stdout F {}\n", all[0]), (1, 0, 1));
    check("cut in a text", format!("{}\n{}\n{}\n", all[0], &all[1][..20], all[2]), (3, 1, 2));
    check("cut between members", format!("{}\n{}\n{}\n", all[0], &all[1][..all[1].find(",\"").unwrap()], all[2]), (3, 1, 2));
    check("cut at the end", format!("{}\n{}", all[0], &all[1][..30]), (2, 1, 1));
    check("a part whose rest is missing", [docker(&all[0][..30]), docker(&format!("{}\n", all[1]))].join("\n"), (2, 1, 1));
    // A client's text is no log, whatever it holds.
    let forged = json!({"level": "INFO", "userAgent": all[0], "message": "a request"}).to_string();
    let headers = json!({"level": "INFO", "headers": [{"name": "user-agent", "value": all[0]}, {"name": "x", "values": [all[0]]}], "body": all[0]}).to_string();
    check("forged headers", format!("{headers}\n{}\n", all[1]), (1, 0, 1));
    check("forged", format!("{forged}\n{}\n", all[1]), (1, 0, 1));
    let deep = |open: &str, close: &str| open.repeat(200) + "1" + &close.repeat(200);
    check("deep", format!("{{\"message\":{}}}\n{}\n", deep("[", "]"), all[0]), (2, 1, 1));
    let mut nested = all[0].clone();
    for _ in 0..12 {
        nested = json!({"message": nested}).to_string();
    }
    check("texts in texts", format!("{nested}\n{}\n", all[1]), (1, 0, 1));
}

#[test]
fn cognito_activity_is_read_in_every_form_of_its_export() {
    let event = |id: &str, kind: &str, time: &str, response: &str| json!({"EventId": id, "EventType": kind, "CreationDate": time, "EventResponse": response, "EventContextData": {"IpAddress": "81.2.69.142", "DeviceName": "Chrome 126, Windows 10"}});
    // Newest first.
    let events = [
        event("a-3", "SignIn", "2026-01-04T08:00:00.500000+00:00", "Fail"),
        event("a-2", "SignIn", "2026-01-03T08:00:00.500000+00:00", "Pass"),
        event("a-1", "SignIn", "2026-01-02T08:00:00.500000+00:00", "Pass"),
    ];
    let page = |events: &[Value]| serde_json::to_string_pretty(&json!({"AuthEvents": events, "NextToken": "t"})).unwrap();
    for (name, text) in [
        ("one page", page(&events)),
        ("pages", format!("{}\n{}", page(&events[..1]), page(&events[1..]))),
        ("pages in a list", format!("[{},{}]", page(&events[..1]), page(&events[1..]))),
        ("--query AuthEvents", serde_json::to_string_pretty(&events).unwrap()),
        ("jq -c .AuthEvents[]", events.iter().map(|event| format!("{event}\n")).collect()),
        ("no page", page(&[]) + &page(&events)),
    ] {
        check(name, text, (3, 0, 2));
    }
    let activity = |kind: &str, user: &str, day: u8, response: &str| {
        json!({"version": "1", "eventId": "e", "eventType": kind, "userSub": "sub", "userName": user, "userPoolId": "eu-west-1_Example01", "clientId": "1example",
            "creationDate": format!("Fri Jan {day:02} 08:00:00 UTC 2026"), "eventResponse": response, "riskLevel": "", "deviceName": "Other, Other", "ipAddress": "81.2.69.142",
            "compromisedCredentialDetected": "false", "hasContextData": "true", "eventFeedbackValue": ""})
    };
    let messages = [
        activity("SIGN_IN", "ada", 2, "Pass"),
        activity("SIGN_IN", "ada", 2, "Fail"),
        activity("SIGN_IN", "bob", 2, "Pass"),
        activity("SIGN_UP", "cy", 2, "Pass"),
    ];
    let wrapped = |message: &Value| json!({"eventTimestamp": "1767340800000", "eventSource": "USER_ACTIVITY", "logLevel": "INFO", "message": message, "logSourceId": {"userPoolId": "eu-west-1_Example01"}});
    let lines: Vec<String> = messages.iter().map(|message| wrapped(message).to_string()).collect();
    let notification =
        json!({"eventTimestamp": "1767340800000", "eventSource": "USER_NOTIFICATION", "logLevel": "ERROR", "message": {"details": "SMS failed"}});
    check("S3 and Firehose", lines.join("\n") + "\n" + &notification.to_string(), (3, 0, 2));
    check("Firehose without line breaks", lines.concat(), (3, 0, 2));
    check("through a subscription", subscription(&lines), (3, 0, 2));
    check("text in text", messages.iter().map(|message| wrapped(&json!(message.to_string())).to_string() + "\n").collect::<String>(), (3, 0, 2));
}

#[test]
fn numbers_and_flags_are_read_as_text_too() {
    let row = |more: &str| format!("{{\"time\":\"2026-01-02T08:00:00Z\",\"user\":\"ada\",{more}}}\n");
    let text = [
        row("\"success\":\"true\",\"asn\":\"20712\""),
        row("\"success\":\"False\",\"asn\":\"AS20712\""),
        row("\"success\":1,\"asn\":20712.0"),
        row("\"success\":\"0\""),
        row("\"success\":null"),
        row("\"success\":\"perhaps\""),
        row("\"success\":{}"),
        "{\"time\":1767340800,\"user\":7,\"success\":\"TRUE\"}\n".to_owned(),
        "{\"time\":\"1.767340800E9\",\"user\":\"7\",\"success\":true}\n".to_owned(),
    ]
    .concat();
    check("JSON", text, (9, 2, 5));
}

#[test]
fn text_is_read_in_utf_16_and_utf_32_is_refused() {
    let csv = "time,user,ip,success\n2026-01-02T08:00:00Z,ada,81.2.69.142,true\n2026-01-03 08:00:00 UTC,\u{e5}da,81.2.69.142,true\n";
    let log = lines(|_, line| line.to_owned());
    let subscribed = subscription(&audit());
    for (name, text, expected) in [("CSV", csv, (2, 0, 2)), ("lines", &log, (3, 0, 3)), ("pages", &subscribed, (3, 0, 3))] {
        for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            let written: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect();
            check(name, &written, expected);
            check(name, gzip(&written), expected);
            check(name, ruzstd::encoding::compress_to_vec(written.as_slice(), ruzstd::encoding::CompressionLevel::Fastest), expected);
        }
        check(name, format!("\u{feff}{text}"), expected);
    }
    let wide: Vec<u8> = format!("\u{feff}{csv}").chars().flat_map(|letter| u32::from(letter).to_le_bytes()).collect();
    let text = replayed(&wide, &[]).unwrap_err();
    assert!(text.contains("UTF-32"), "{text}");
}

#[test]
fn events_and_files_of_variables_are_read_in_utf_16_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("\u{feff}{text}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).unwrap();
        path
    };
    let event = file("event.json", "{\"user\":\"ada\",\"ip\":\"81.2.69.142\"}");
    let list = file("cidrs", "81.2.69.0/24");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_riskgate"));
    let output = command.arg("assess").arg(&event).arg("--json").env_clear().env("RISKGATE_DENY_CIDRS_FILE", &list).output().unwrap();
    let text: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(text["decision"], "deny", "{text}");
    std::fs::write(&list, b"\xff\xfe\0\0a\0\0\0").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_riskgate"));
    let output = command.arg("config").env_clear().env("RISKGATE_DENY_CIDRS_FILE", &list).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(!output.status.success() && String::from_utf8_lossy(&text).contains("UTF-32"), "{}", String::from_utf8_lossy(&text));
}
