use super::DeliveryState as S;
use super::Event as E;
use super::Phase as P;
use super::*;

/// Every (state, event) pair: what is not named here is impossible.
#[test]
fn the_table_of_moves() {
    let moves: &[(S, E, S)] = &[
        (S::Planned, E::SendBegun, S::Sending),
        (S::Rejected, E::SendBegun, S::Sending),
        (S::Unknown, E::SendBegun, S::Sending),
        (S::Sending, E::SendBegun, S::Sending),
        (S::Sending, E::AnswerLost, S::Unknown),
        (S::Unknown, E::AnswerLost, S::Unknown),
        (S::Sending, E::Accepted, S::Created),
        (S::Unknown, E::Accepted, S::Created),
        (S::Planned, E::Refused, S::Rejected),
        (S::Rejected, E::Refused, S::Rejected),
        (S::Sending, E::Refused, S::Rejected),
        (S::Unknown, E::Refused, S::Rejected),
        (S::Sending, E::FoundAbsent, S::Planned),
        (S::Unknown, E::FoundAbsent, S::Planned),
        (S::Created, E::CancelledByUs, S::Cancelled),
        (S::Planned, E::CancelledByUs, S::Cancelled),
        (S::Rejected, E::CancelledByUs, S::Cancelled),
        (S::Cancelled, E::WantedAgain, S::Planned),
    ];
    let reportable = [
        S::Sending,
        S::Unknown,
        S::Created,
        S::InWork,
        S::Delivered,
        S::Partly,
        S::NotDelivered,
        S::Returned,
        S::Lost,
        S::Cancelled,
    ];
    let phases = [
        (P::New, S::Created),
        (P::Working, S::InWork),
        (P::Delivered, S::Delivered),
        (P::Partly, S::Partly),
        (P::NotDelivered, S::NotDelivered),
        (P::Returned, S::Returned),
        (P::Lost, S::Lost),
    ];
    let there = |state| if matches!(state, S::Sending | S::Unknown) { S::Created } else { state };
    let events =
        [E::SendBegun, E::AnswerLost, E::Accepted, E::Refused, E::FoundAbsent, E::CancelledByUs, E::WantedAgain];
    for state in S::ALL {
        for event in events {
            let expected = moves.iter().find(|(s, e, _)| *s == state && *e == event).map(|(_, _, to)| *to);
            assert_eq!(state.after(event), expected, "{state:?} {event:?}");
        }
        for (phase, to) in phases {
            let expected = match state {
                S::Cancelled if matches!(phase, P::NotDelivered | P::Returned) => Some(S::Cancelled),
                _ if reportable.contains(&state) => Some(to),
                _ => None,
            };
            assert_eq!(state.after(E::Reported(phase)), expected, "{state:?} {phase:?}");
        }
        // What nobody knows moves nothing.
        let expected = reportable.contains(&state).then(|| there(state));
        assert_eq!(state.after(E::Reported(P::Unclear)), expected, "{state:?} and an unknown code");
    }
}

#[test]
fn only_new_and_awaiting_sync_can_be_changed() {
    assert!(Phase::of("NEW").is_editable() && Phase::of("AWAITING_SYNC").is_editable());
    for code in ["ACCEPTED", "DELIVERY", "COMPLETE", "CANCELED", "SOMETHING_NEW", ""] {
        assert!(!Phase::of(code).is_editable(), "{code}");
    }
}

#[test]
fn preliminary_courier_codes_are_not_the_end() {
    for code in ["COURIERDELIVERED", "COURIERPARTIALLY", "COURIERCANCELED", "COURIERRETURN", "DATECHANGE"] {
        assert_eq!(Phase::of(code), Phase::Working, "{code}");
    }
}

#[test]
fn every_code_has_a_phase_and_an_unknown_one_has_none_of_them() {
    assert!(StatusCode::KNOWN.iter().all(|code| Phase::of(code.as_str()) != Phase::Unclear));
    for code in ["SOMETHING_NEW", "", "complete"] {
        assert_eq!(Phase::of(code), Phase::Unclear, "{code}");
    }
}

#[test]
fn an_external_id_belongs_to_its_integration() {
    let id = Delivery::external_id(IntegrationId(17), CrmOrderId(4817));
    assert_eq!(id, "ms-17-4817");
    assert_eq!(Delivery::parse_external_id(IntegrationId(17), &id), Some(CrmOrderId(4817)));
    assert_eq!(Delivery::parse_external_id(IntegrationId(1), &id), None);
    assert_eq!(Delivery::parse_external_id(IntegrationId(17), "ms-17-x"), None);
    assert!(Delivery::is_external_id_of(&id, CrmOrderId(4817)));
    for other in ["ms-17-4818", "ms-x-4817", "4817", "ms-4817", ""] {
        assert!(!Delivery::is_external_id_of(other, CrmOrderId(4817)), "{other}");
    }
}
