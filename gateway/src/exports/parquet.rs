//! Parquet: one row per event, columns as in the table `events`, `data` as JSON text.
//!
//! Written in groups of rows as they come, so that a session of any length takes the memory of one group.

use std::io::Write;
use std::sync::Arc;

use kulti_schemas::PositionedEvent;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::{Encoder, ExportError};

/// A group is written when it has this much data, or this many rows.
const GROUP_BYTES: usize = 8 << 20;
const GROUP_ROWS: usize = 50_000;

/// The columns: name, what they hold, and whether every row has it.
const COLUMNS: [(&str, Holds, bool); 16] = [
    ("session_id", Holds::Text, true),
    ("position", Holds::Number, true),
    ("event_id", Holds::Text, true),
    ("agent_id", Holds::Text, true),
    ("kind", Holds::Text, true),
    ("source", Holds::Text, true),
    ("time", Holds::Moment, true),
    ("received", Holds::Moment, true),
    ("clock", Holds::Moment, true),
    ("producer", Holds::Text, false),
    ("generation", Holds::Number, false),
    ("seq", Holds::Number, false),
    ("cause", Holds::Text, false),
    ("attributes", Holds::Text, false),
    ("data", Holds::Text, true),
    ("raw", Holds::Text, false),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Number,
    Moment,
}

/// The values of a column in the group that is being collected. `present` is 1 for rows that have one.
enum Column {
    Texts {
        values: Vec<ByteArray>,
        present: Vec<i16>,
    },
    Numbers {
        values: Vec<i64>,
        present: Vec<i16>,
    },
}

/// A value of a row.
enum Cell<'a> {
    Text(Option<&'a str>),
    Number(Option<i64>),
}

impl<'a> Cell<'a> {
    fn text(text: &'a str) -> Self {
        Cell::Text(Some(text))
    }
}

impl Column {
    fn of(holds: Holds) -> Self {
        let (values, present) = (Vec::new(), Vec::new());
        match holds {
            Holds::Text => Column::Texts { values, present },
            Holds::Number | Holds::Moment => Column::Numbers {
                values: Vec::new(),
                present,
            },
        }
    }

    /// Adds a value of this column's type; says what it takes in memory.
    fn push(&mut self, cell: Cell<'_>) -> usize {
        match (self, cell) {
            (Column::Texts { values, present }, Cell::Text(text)) => {
                present.push(i16::from(text.is_some()));
                values.extend(text.map(ByteArray::from));
                text.map_or(0, str::len) + size_of::<ByteArray>()
            }
            (Column::Numbers { values, present }, Cell::Number(number)) => {
                present.push(i16::from(number.is_some()));
                values.extend(number);
                size_of::<i64>()
            }
            _ => unreachable!("a row has its cells in the order of the columns"),
        }
    }

    fn write(
        &self,
        group: &mut SerializedRowGroupWriter<'_, Written>,
        is_required: bool,
    ) -> Result<(), ParquetError> {
        let Some(mut writer) = group.next_column()? else {
            return Err(ParquetError::General(
                "there are fewer columns than cells".to_owned(),
            ));
        };
        match self {
            Column::Texts { values, present } => {
                let present = (!is_required).then_some(present.as_slice());
                writer
                    .typed::<ByteArrayType>()
                    .write_batch(values, present, None)?;
            }
            Column::Numbers { values, present } => {
                let present = (!is_required).then_some(present.as_slice());
                writer.typed::<Int64Type>().write_batch(values, present, None)?;
            }
        }
        writer.close()
    }
}

fn empty_columns() -> Vec<Column> {
    COLUMNS.iter().map(|(_, holds, _)| Column::of(*holds)).collect()
}

fn schema() -> Result<TypePtr, ParquetError> {
    let field = |(name, holds, is_required): (&str, Holds, bool)| {
        let physical = match holds {
            Holds::Text => PhysicalType::BYTE_ARRAY,
            Holds::Number | Holds::Moment => PhysicalType::INT64,
        };
        let logical = match holds {
            Holds::Text => Some(LogicalType::String),
            Holds::Number => None,
            Holds::Moment => Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
        };
        let repetition = if is_required {
            Repetition::REQUIRED
        } else {
            Repetition::OPTIONAL
        };
        Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    };
    let fields = COLUMNS.into_iter().map(field).collect::<Result<Vec<_>, _>>()?;
    Type::group_type_builder("events")
        .with_fields(fields)
        .build()
        .map(Arc::new)
}

/// What the writer has written and nobody has taken yet.
#[derive(Default)]
struct Written(Vec<u8>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) struct Parquet {
    writer: SerializedFileWriter<Written>,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

impl From<ParquetError> for ExportError {
    fn from(error: ParquetError) -> Self {
        tracing::error!(%error, "Parquet could not be written");
        ExportError::Encoder
    }
}

impl Parquet {
    pub(super) fn new() -> Result<Self, ExportError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("kulti ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = SerializedFileWriter::new(Written::default(), schema()?, Arc::new(properties))?;
        Ok(Parquet {
            writer,
            columns: empty_columns(),
            rows: 0,
            bytes: 0,
        })
    }

    fn write_group(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError> {
        if self.rows > 0 {
            let mut group = self.writer.next_row_group()?;
            for (column, (_, _, is_required)) in self.columns.iter().zip(COLUMNS) {
                column.write(&mut group, is_required)?;
            }
            group.close()?;
            self.columns = empty_columns();
            (self.rows, self.bytes) = (0, 0);
        }
        self.take_written(out)
    }

    fn take_written(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError> {
        self.writer.flush().map_err(|_| ExportError::Encoder)?;
        out.append(&mut self.writer.inner_mut().0);
        Ok(())
    }
}

impl Encoder for Parquet {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError> {
        self.take_written(out)
    }

    fn event(&mut self, event: &PositionedEvent, out: &mut Vec<u8>) -> Result<(), ExportError> {
        let meta = &event.event.meta;
        let attributes = (!meta.attributes.is_empty())
            .then(|| serde_json::to_string(&meta.attributes))
            .transpose()
            .map_err(|_| ExportError::Encoder)?;
        let (id, cause) = (
            meta.event_id.to_string(),
            meta.cause.map(|cause| cause.to_string()),
        );
        let row: [Cell<'_>; COLUMNS.len()] = [
            Cell::text(meta.session_id.as_str()),
            Cell::Number(Some(event.position)),
            Cell::text(&id),
            Cell::text(meta.agent_id.as_str()),
            Cell::text(event.event.kind.name()),
            Cell::text(meta.source.as_str()),
            Cell::Number(Some(meta.time.0)),
            Cell::Number(Some(meta.received.0)),
            Cell::Number(Some(event.clock.0)),
            Cell::Text(meta.producer.as_deref()),
            Cell::Number(meta.generation),
            Cell::Number(meta.seq),
            Cell::Text(cause.as_deref()),
            Cell::Text(attributes.as_deref()),
            Cell::text(event.event.data.get()),
            Cell::Text(event.event.raw.as_deref()),
        ];
        self.rows += 1;
        for (column, cell) in self.columns.iter_mut().zip(row) {
            self.bytes += column.push(cell);
        }
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.write_group(out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError> {
        self.write_group(out)?;
        self.writer.finish()?;
        self.take_written(out)
    }
}
