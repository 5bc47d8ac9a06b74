//! The journal against a real broker, which is started once: all scenarios run one after the other, each with
//! topics of its own. Only who may talk to a broker is shown with another one.

mod broker;
mod conformance;
mod failures;
mod groups;
mod marks;
mod records;
mod security;
mod topics;

use futures_util::future::BoxFuture;

use crate::broker::World;

type Scenario = (&'static str, for<'a> fn(&'a mut World) -> BoxFuture<'a, ()>);

macro_rules! scenarios {
    ($($module:ident :: $name:ident),* $(,)?) => {
        [$((stringify!($name), |world| Box::pin($module::$name(world)))),*]
    };
}

const SCENARIOS: [Scenario; 22] = scenarios![
    conformance::the_journal_conforms,
    records::what_is_written_is_what_barito_flow_writes,
    records::what_others_write_is_read,
    records::records_beyond_the_limit_are_refused_by_name,
    records::callers_wait_while_the_queue_is_full,
    marks::a_mark_is_found_that_another_process_set,
    marks::what_is_far_behind_is_not_looked_for,
    marks::a_tail_has_records_of_all_sizes,
    marks::a_new_topic_has_no_marks_of_the_old_one,
    topics::a_new_topic_is_announced,
    topics::a_topic_whose_event_was_lost_is_found_by_listing,
    topics::topics_can_be_listed_while_others_are_deleted,
    topics::a_topic_that_was_just_deleted_is_read_no_more,
    topics::a_topic_that_was_made_again_is_another_one,
    groups::members_share_partitions,
    groups::what_is_committed_on_revocation_is_not_delivered_again,
    groups::a_member_leaves_in_the_middle_of_a_rebalance,
    groups::topics_may_have_groups_of_their_own,
    groups::what_expired_is_told,
    groups::what_expired_under_a_running_member_is_told,
    groups::a_log_that_was_cut_goes_on_in_another_incarnation,
    failures::a_broker_dies_and_comes_back,
];

#[test]
fn the_journal_over_kafka() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut world = World::start(runtime.handle().clone());
    for (name, scenario) in SCENARIOS {
        eprintln!("{name}");
        runtime.block_on(scenario(&mut world));
    }
}

#[test]
fn no_test_file_is_forgotten() {
    let main = include_str!("main.rs");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    for entry in std::fs::read_dir(folder).expect("the folder of this file") {
        let name = entry.expect("is readable").file_name().into_string().expect("is UTF-8");
        let module = name.strip_suffix(".rs").expect("only source files");
        assert!(module == "main" || main.contains(&format!("mod {module};")), "{name} is not compiled");
    }
}
