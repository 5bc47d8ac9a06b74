//! What becomes of lines on their way through an agent.

use std::time::Duration;

use weir_foundation::clock::{Clock as _, SystemClock};

use crate::door::Door;
use crate::node::{Node, arrived, eventually};

const GROUPED: &str = r#"[{"app": "shop", "paths": ["LOGS/*.log"],
    "multiline": {"start": "^[0-9]", "timeout": "300ms"}}]"#;

#[tokio::test]
async fn the_last_lines_wait_for_others() {
    let (node, door) = (Node::new(), Door::open().await);
    let agent = node.start(&door, GROUPED);
    node.append("a.log", "1 a\n");
    agent.told("the first line is seen", |report| report.inputs[0].lag_bytes == 4).await;
    node.append("a.log", " b\nun");
    assert_eq!(arrived(&door, 1).await, ["1 a\n b"]);
    node.append("a.log", "ended\n");
    assert_eq!(arrived(&door, 2).await[1], "unended", "what comes later is an event of its own");
    node.append("a.log", "2\n3\n4");
    assert_eq!(arrived(&door, 4).await[2..], ["2", "3"]);
    // Nobody writes to it any more.
    node.rename("a.log", "a.old");
    assert_eq!(arrived(&door, 5).await[4], "4");
    agent.end().await;
}

#[tokio::test]
async fn lines_that_wait_belong_together_after_a_restart() {
    let (node, door) = (Node::new(), Door::open().await);
    let inputs = GROUPED.replace("300ms", "5m");
    let agent = node.start(&door, &inputs);
    node.append("a.log", "1 a\n b\n2 c\n");
    assert_eq!(arrived(&door, 1).await, ["1 a\n b"]);
    agent.told("the last line waits", |report| report.inputs[0].lag_bytes == 4).await;
    agent.end().await;
    let agent = node.start(&door, &inputs);
    node.append("a.log", " d\n3\n");
    assert_eq!(arrived(&door, 2).await[1], "2 c\n d");
    // Other settings take over where the last event ended.
    node.append("a.log", " e\n");
    agent.told("it waits", |report| report.inputs[0].lag_bytes == 5).await;
    agent.inputs().set(node.inputs(r#"[{"app": "shop", "paths": ["LOGS/*.log"]}]"#));
    assert_eq!(arrived(&door, 4).await[2..], ["3", " e"]);
    agent.end().await;
}

#[tokio::test]
async fn the_logs_of_pods_say_whose_they_are() {
    let (node, door) = (Node::new(), Door::open().await);
    let folder = node.log("pods/shop_web-0_17/app");
    std::fs::create_dir_all(&folder).expect("there is space");
    let inputs = r#"[{"app": "shop", "paths": ["LOGS/pods/*/*/*.log"], "format": "cri",
        "multiline": {"presets": ["java"]}, "parser": {"kind": "json"},
        "drop": [{"field": "kubernetes.namespace", "equals": "shop"}, {"field": "stream", "equals": "none"}]}]"#;
    let inputs = inputs.replace("\"equals\": \"shop\"", "\"equals\": \"other\"");
    let agent = node.start(&door, &inputs);
    node.append(
        "pods/shop_web-0_17/app/0.log",
        "2026-11-28T10:00:00Z stderr F java.lang.Error: no\n2026-11-28T10:00:00Z stdout F {\"n\":1}\n\
         2026-11-28T10:00:01Z stderr F \tat a.B.c(B.java:1)\n2026-11-28T10:00:01Z stdout P {\"n\":\n\
         2026-11-28T10:00:01Z stdout F 2}\n",
    );
    eventually("there are three events", || door.events().len() == 3).await;
    let events = door.events();
    let [trace, one, two] = events.as_slice() else { unreachable!("{events:?}") };
    assert_eq!(trace.message(), "java.lang.Error: no\n\tat a.B.c(B.java:1)");
    assert_eq!((&one.content["n"], &two.content["n"]), (&1.into(), &2.into()));
    for (event, stream) in [(trace, "stderr"), (one, "stdout"), (two, "stdout")] {
        assert_eq!(event.content["stream"], stream);
        assert_eq!(event.content["kubernetes"]["pod"], "web-0");
        assert!(event.time.to_string().starts_with("2026-11-28T10:00:0"), "{event:?}");
    }
    let report = agent.told("it is counted", |report| report.inputs[0].lines == 5).await;
    assert_eq!((report.inputs[0].unfit, report.inputs[0].left_out), (1, 0));
    assert_eq!(agent.metric("weir_agent_unfit_events_total"), 1.0);
    agent.end().await;
}

#[tokio::test]
async fn a_file_has_its_own_pace() {
    let (node, door) = (Node::new(), Door::open().await);
    let inputs = r#"[{"app": "slow", "paths": ["LOGS/*.slow"], "max_lines_per_second": 200},
        {"app": "fast", "paths": ["LOGS/*.log"]}]"#;
    let lines: String = (0..300).map(|n| format!("{n}\n")).collect();
    node.append("a.slow", &lines);
    node.append("b.slow", &lines);
    node.append("c.log", &lines);
    let began = SystemClock.monotonic();
    let agent = node.start(&door, inputs);
    let count = |file: &str| door.events().iter().filter(|event| event.file() == file).count();
    eventually("the fast file is there", || count("c.log") == 300).await;
    assert!(count("a.slow") <= 250 && count("b.slow") <= 250, "{} {}", count("a.slow"), count("b.slow"));
    eventually("the others are", || count("a.slow") == 300 && count("b.slow") == 300).await;
    let took = SystemClock.monotonic().duration_since(began);
    assert!(took >= Duration::from_millis(450), "{took:?}");
    agent.end().await;
}
