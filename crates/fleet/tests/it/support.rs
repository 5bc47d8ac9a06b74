use weir_fleet::Fleet;

fn sendable<T: Send>(_: T) {}

#[allow(dead_code)]
fn futures_can_be_sent(
    fleet: &Fleet,
    request: weir_fleet::EnrolRequest<'_>,
    renew: weir_fleet::RenewRequest<'_>,
    by: &weir_fleet::OperatorName,
) {
    sendable(fleet.enrol(request));
    sendable(fleet.renew(renew));
    sendable(fleet.create_operator(by, None, None));
    sendable(fleet.remove_operator(by, by));
    sendable(fleet.maintain(std::time::SystemTime::UNIX_EPOCH));
    sendable(fleet.begin_rotation(by));
    sendable(fleet.follow());
}
