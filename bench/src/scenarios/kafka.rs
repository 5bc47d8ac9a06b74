use weir_services::{Home, Kafka};

use crate::child::Measured;
use crate::data::{Lines, simple};
use crate::load;
use crate::report::{Names, Report};
use crate::{Extent, Outcome};

/// gRPC into one broker with `acks=all`, idempotent: as fast as it goes, and at 50,000 events/s.
pub(crate) async fn kafka(report: &mut Report, extent: &Extent, lines: &Lines) -> Outcome<()> {
    let batches = simple(&lines.texts);
    let directory = tempfile::tempdir()?;
    let kafka = Kafka::start(&Home::of_the_tree(), directory.path(), 1)?;
    let formats = [
        ("collection", names!("kafka"), names!("kafka_paced")),
        ("timber", names!("kafka_timber"), names!("kafka_timber_paced")),
    ];
    for (format, fast, paced) in formats {
        for _ in 0..extent.runs {
            let weir = Measured::producer(&kafka.addresses(), format).await?;
            load::grpc(weir.grpc, &batches, extent.events / 20, None).await?;
            let cpu = weir.cpu()?;
            let run = load::grpc(weir.grpc, &batches, extent.events / 2, None).await?;
            let cpu = weir.cpu()? - cpu;
            let title = format!("gRPC into Kafka, format {format}");
            report.run(&title, fast, &run, cpu, weir.memory("VmHWM")?);
            let before = weir.cpu()?;
            let run = load::grpc(weir.grpc, &batches, extent.events / 4, Some(50_000.0)).await?;
            let cpu = weir.cpu()? - before;
            report.run("the same at 50,000 events/s", paced, &run, cpu, weir.memory("VmHWM")?);
        }
    }
    Ok(())
}
