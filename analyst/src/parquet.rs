//! A Parquet file that appears only after it was read back and found to hold what was written.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use polars::prelude::*;

/// Rows of a row group.
pub(crate) const GROUP_ROWS: usize = 1 << 17;

/// A file that is being written under another name.
pub(crate) struct NewParquet {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    writer: BatchedWriter<File>,
    /// Rows and check sum of each row group.
    groups: Vec<(usize, u32)>,
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl NewParquet {
    pub(crate) fn create(path: PathBuf, schema: &Schema) -> anyhow::Result<Self> {
        let unfinished = path.with_extension("tmp");
        let create = || -> anyhow::Result<(File, BatchedWriter<File>)> {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)?;
            }
            let file = File::create(&unfinished)?;
            let writer = ParquetWriter::new(file.try_clone()?)
                .with_compression(ParquetCompression::Zstd(None))
                .with_statistics(StatisticsOptions::full())
                .set_parallel(false)
                .batched(schema)?;
            Ok((file, writer))
        };
        let (file, writer) = create().with_context(|| format!("cannot create `{}`", unfinished.display()))?;
        Ok(Self { path, unfinished, file, writer, groups: Vec::new() })
    }

    /// Adds a row group.
    pub(crate) fn write(&mut self, frame: &DataFrame) -> anyhow::Result<()> {
        if frame.height() > 0 {
            self.groups.push((frame.height(), checksum(frame)?));
            self.writer
                .write_batch(frame)
                .map_err(anyhow::Error::from)
                .with_context(|| format!("cannot write `{}`", self.unfinished.display()))?;
        }
        Ok(())
    }

    /// Syncs, reads back, compares rows and check sums, and gives the file its name.
    pub(crate) fn finish(self) -> anyhow::Result<Finished> {
        let Self { path, unfinished, file, writer, groups } = self;
        writer
            .finish()
            .map_err(anyhow::Error::from)
            .with_context(|| format!("cannot write `{}`", unfinished.display()))?;
        file.sync_all().with_context(|| format!("cannot sync `{}`", unfinished.display()))?;
        drop(writer);
        verify(&unfinished, &groups)?;
        fs::rename(&unfinished, &path).with_context(|| format!("cannot name `{}`", path.display()))?;
        crate::lake::sync_parent(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Finished { rows: groups.iter().map(|group| group.0 as u64).sum(), bytes })
    }
}

/// Reads rows `from` to `from + len` of a file.
pub(crate) fn slice(path: &Path, from: usize, len: usize) -> anyhow::Result<DataFrame> {
    let read = || -> anyhow::Result<DataFrame> {
        let reader = ParquetReader::new(File::open(path)?).set_low_memory(true);
        Ok(reader.read_parallel(ParallelStrategy::None).with_slice(Some((from, len))).finish()?)
    };
    read().with_context(|| format!("cannot read `{}`", path.display()))
}

/// Rows of each row group of a file, in their order.
pub(crate) fn group_rows(path: &Path) -> anyhow::Result<Vec<usize>> {
    let read = || -> anyhow::Result<Vec<usize>> {
        let mut reader = ParquetReader::new(File::open(path)?);
        Ok(reader.get_metadata()?.row_groups.iter().map(|group| group.num_rows()).collect())
    };
    read().with_context(|| format!("cannot read `{}`", path.display()))
}

fn verify(path: &Path, groups: &[(usize, u32)]) -> anyhow::Result<()> {
    let rows = ParquetReader::new(File::open(path)?).num_rows()?;
    let written: usize = groups.iter().map(|group| group.0).sum();
    ensure!(rows == written, "`{}` has {rows} rows, but {written} were written", path.display());
    let mut from = 0;
    for &(rows, sum) in groups {
        let found = checksum(&slice(path, from, rows)?)?;
        ensure!(
            found == sum,
            "`{}`: rows {from} to {} are not what was written",
            path.display(),
            from + rows
        );
        from += rows;
    }
    Ok(())
}

/// CRC-32 over all values of a frame, column after column; absent ones differ from empty ones.
pub(crate) fn checksum(frame: &DataFrame) -> anyhow::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    for column in frame.columns() {
        hasher.update(column.name().as_bytes());
        add(column.as_materialized_series(), &mut hasher)?;
    }
    Ok(hasher.finalize())
}

fn add(series: &Series, hasher: &mut crc32fast::Hasher) -> anyhow::Result<()> {
    let mut value = |bytes: Option<&[u8]>| match bytes {
        None => hasher.update(&[0]),
        Some(bytes) => {
            hasher.update(&[1]);
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
    };
    let physical = series.to_physical_repr();
    match physical.dtype() {
        DataType::Int64 => {
            physical.i64()?.iter().for_each(|v| value(v.map(i64::to_le_bytes).as_ref().map(|b| &b[..])))
        }
        DataType::Int32 => {
            physical.i32()?.iter().for_each(|v| value(v.map(i32::to_le_bytes).as_ref().map(|b| &b[..])))
        }
        DataType::Float64 => {
            let bits = |v: f64| v.to_bits().to_le_bytes();
            physical.f64()?.iter().for_each(|v| value(v.map(bits).as_ref().map(|b| &b[..])));
        }
        DataType::String => physical.str()?.iter().for_each(|v| value(v.map(str::as_bytes))),
        DataType::Binary => physical.binary()?.iter().for_each(&mut value),
        DataType::List(_) => {
            let lists = physical.list()?;
            for row in 0..lists.len() {
                match lists.get_as_series(row) {
                    None => hasher.update(&[0]),
                    Some(inner) => {
                        hasher.update(&[2]);
                        hasher.update(&(inner.len() as u64).to_le_bytes());
                        add(&inner, hasher)?;
                    }
                }
            }
        }
        other => anyhow::bail!("a column of type {other} has no check sum"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(numbers: &[Option<f64>]) -> DataFrame {
        let mut lists = ListStringChunkedBuilder::new("lists".into(), 0, 0);
        for number in numbers {
            match number {
                Some(number) => {
                    lists.append_values_iter(["x", "y"].into_iter().take(if *number > 1.0 { 2 } else { 0 }))
                }
                None => lists.append_null(),
            }
        }
        let numbers = Column::new("number".into(), numbers);
        DataFrame::new_infer_height(vec![numbers, lists.finish().into_column()]).unwrap()
    }

    #[test]
    fn the_check_sum_sees_values_order_absence_and_names() {
        let base = frame(&[Some(1.0), Some(2.0), None]);
        let same = checksum(&base).unwrap();
        assert_eq!(checksum(&frame(&[Some(1.0), Some(2.0), None])).unwrap(), same);
        for other in [
            frame(&[Some(2.0), Some(1.0), None]),
            frame(&[Some(1.0), None, Some(2.0)]),
            frame(&[Some(1.0), Some(2.0), Some(0.0)]),
            frame(&[Some(1.0), Some(2.5), None]),
            frame(&[Some(1.0), Some(2.0)]),
        ] {
            assert_ne!(checksum(&other).unwrap(), same, "{other:?}");
        }
        let mut renamed = base;
        renamed.rename("number", "other".into()).unwrap();
        assert_ne!(checksum(&renamed).unwrap(), same);
    }

    #[test]
    fn a_file_that_does_not_read_back_as_written_gets_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part-0.parquet");
        let rows = frame(&[Some(1.0), Some(2.0), None]);
        let mut file = NewParquet::create(path.clone(), rows.schema()).unwrap();
        file.write(&rows).unwrap();
        file.write(&frame(&[Some(9.0)])).unwrap();
        // As if the disk had kept something else.
        file.groups[1].1 ^= 1;
        let error = file.finish().unwrap_err().to_string();
        assert!(error.ends_with("rows 3 to 4 are not what was written"), "{error}");
        assert!(!path.exists());
        let mut file = NewParquet::create(path.clone(), rows.schema()).unwrap();
        file.write(&rows).unwrap();
        file.groups.push((1, 0));
        let error = file.finish().unwrap_err().to_string();
        assert!(error.ends_with("has 3 rows, but 4 were written"), "{error}");
        let mut file = NewParquet::create(path.clone(), rows.schema()).unwrap();
        file.write(&rows).unwrap();
        assert_eq!(file.finish().unwrap().rows, 3);
        assert_eq!(checksum(&slice(&path, 0, 3).unwrap()).unwrap(), checksum(&rows).unwrap());
    }
}
