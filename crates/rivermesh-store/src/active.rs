//! The segment that is written to.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
};

use rivermesh_proto::Seq;

use crate::{files::Folder, identity::Block};

/// See the module.
#[derive(Debug)]
pub(crate) struct Active {
    file: File,
    pub(crate) number: u64,
    /// Bytes of whole records. What may lie behind them was left by a write that failed.
    pub(crate) len: u64,
    /// Bytes that are known to outlive a crash, and where the items in them end.
    pub(crate) synced: (u64, Seq),
    /// A write has failed, and what it left could not be cut off yet.
    is_frayed: bool,
    /// A sync has failed. What was written since the last one may be lost though the system says
    /// otherwise from now on: it forgets the failure once it has told it.
    pub(crate) is_unsure: bool,
    /// Syncs that are to fail.
    #[cfg(test)]
    pub(crate) failing: u32,
}

impl Active {
    /// Begins a segment with these records behind its head. It outlives a crash when this returns;
    /// when it fails, nothing is left of it.
    pub(crate) fn create(folder: &Folder, block: &Block, records: &[u8]) -> io::Result<Self> {
        let path = folder.segment(block.number);
        let begin = || {
            let mut options = File::options();
            // One of this number can only be what a failed attempt has left.
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path)?;
            file.write_all(&block.to_bytes())?;
            file.write_all(records)?;
            file.sync_all()?;
            folder.sync()?;
            Ok(file)
        };
        let file = match begin() {
            Ok(file) => file,
            Err(error) => {
                // If this fails too, the next attempt cuts it, and opening takes it for a torn tail.
                let _ = folder.remove(block.number);
                return Err(error);
            }
        };
        let len = (crate::identity::HEAD + records.len()) as u64;
        Ok(Self {
            file,
            number: block.number,
            len,
            synced: (len, block.base),
            is_frayed: false,
            is_unsure: false,
            #[cfg(test)]
            failing: 0,
        })
    }

    /// Writes records behind the others: all of them, or none.
    pub(crate) fn write(&mut self, records: &[u8]) -> io::Result<()> {
        if self.is_frayed {
            // Whole records of the failed write must not come to lie behind new ones.
            self.file.set_len(self.len)?;
            self.is_frayed = false;
        }
        self.file.seek(SeekFrom::Start(self.len))?;
        if let Err(error) = self.file.write_all(records) {
            self.is_frayed = self.file.set_len(self.len).is_err();
            return Err(error);
        }
        self.len += records.len() as u64;
        Ok(())
    }

    /// Lets what was written outlive a crash of the machine. `end` is where the items end.
    pub(crate) fn sync(&mut self, end: Seq) -> io::Result<()> {
        if let Err(error) = self.sync_file() {
            self.is_unsure = true;
            return Err(error);
        }
        self.synced = (self.len, end);
        Ok(())
    }

    /// Cuts off everything that is not known to outlive a crash.
    pub(crate) fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.synced.0)?;
        self.file.sync_data()
    }

    #[cfg(not(test))]
    fn sync_file(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    #[cfg(test)]
    fn sync_file(&mut self) -> io::Result<()> {
        if self.failing > 0 {
            self.failing -= 1;
            return Err(io::Error::other("a sync that fails on purpose"));
        }
        self.file.sync_data()
    }
}
