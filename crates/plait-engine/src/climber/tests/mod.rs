//! The promises of the climber, against invented servers.

use super::*;
use server::{Server, best_fixed, run};

mod server;

/// A run with a climber: its rate as a share of the best fixed width's, and the width at its end.
fn climb(server: &Server, width: usize, alone: Option<f64>, calls: usize) -> (f64, usize) {
    let mut climber = Climber::new(width, 512, alone);
    let seconds = run(server, calls, width, |started, ended| climber.on_call(started, ended));
    (best_fixed(server, calls) / seconds, climber.width())
}

#[test]
fn show() {
    let servers: Vec<(&str, Server)> = vec![
        ("unlimited", Server::new(0.05)),
        ("unlimited exp", Server::new(0.05).noise(1.0)),
        ("tail 5%", Server::new(0.02).tail(0.05, 10.0)),
        ("tail slots", Server::new(0.02).tail(0.05, 10.0).slots(20)),
        ("slots 8", Server::new(0.05).slots(8)),
        ("slots 8 noise", Server::new(0.05).slots(8).noise(0.5)),
        ("slots 100", Server::new(0.05).slots(100)),
        ("lock", Server::new(0.001).slots(1)),
        ("collapse 8", Server::new(0.05).collapse(8)),
        ("collapse 32", Server::new(0.02).collapse(32).noise(0.3)),
        ("shared 16", Server::new(0.02).shared(16)),
        ("changes", Server::new(0.02).slots(8).then(64)),
        ("changes down", Server::new(0.02).slots(64).then(4)),
    ];
    for (name, server) in servers {
        for width in [1, 4, 32, 256] {
            for alone in [None, Some(server.alone())] {
                let short = climb(&server, width, alone, 1000);
                let long = climb(&server, width, alone, 20000);
                println!(
                    "{name:15} from {width:3} alone {:5} 1000: {:.2} {:3}   20000: {:.2} {:3}",
                    alone.is_some(),
                    short.0,
                    short.1,
                    long.0,
                    long.1
                );
            }
        }
    }
}
