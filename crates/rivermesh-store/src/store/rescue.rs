//! Going on after a sync that failed.

use std::{fs::File, io};

use rivermesh_proto::Seq;

use super::{Active, COPY, Codec, Kind, Segment, Store, put_lease};
use crate::scan::{Found, Scan};

impl Store {
    /// Writes what came since the last sync that succeeded into a new segment. A system that has
    /// told once that it could not write something may take it for written from then on.
    pub(super) fn rescue(&mut self) -> io::Result<()> {
        let Some(mut old) = self.active.take() else {
            return Ok(());
        };
        let (stored, next) = {
            let map = self.shared.map();
            (map.stored, map.next)
        };
        let copied = self.create(old.synced.1).and_then(|(mut new, lease)| {
            let segment = self.copy(&old, &mut new, stored, lease);
            if segment.is_err() {
                // If it stays, the next attempt has another number, and opening sees copies.
                let _ = self.shared.folder.remove(new.number);
            }
            segment.map(|segment| (new, lease, segment))
        });
        let (new, lease, segment) = match copied {
            Ok(copied) => copied,
            Err(error) => {
                self.active = Some(old);
                return Err(error);
            }
        };
        {
            let mut map = self.shared.map();
            if let Some(last) = map.segments.back_mut() {
                last.take_back(old.synced.0, old.synced.1);
            }
            map.segments.push_back(segment);
        }
        // Where it cannot be cut, opening sees what is behind as copies.
        let _ = old.cut();
        self.took(new, lease, next);
        Ok(())
    }

    /// Copies the batches that a segment has since its last sync, as far as they are intact.
    fn copy(&self, old: &Active, new: &mut Active, stored: Seq, lease: Seq) -> io::Result<Segment> {
        let file = File::open(self.shared.folder.segment(old.number))?;
        let codec = Codec::new(self.shared.key, old.number);
        let mut scan = Scan::new(file, codec, old.synced.0, old.len)?;
        let codec = Codec::new(self.shared.key, new.number);
        let mut segment = Segment::new(new.number, new.len);
        let mut buf = Vec::new();
        loop {
            let found = scan.next()?;
            if let Found::Record { at, head } = found
                && head.kind == Kind::Data
                && let Some(body) = scan.body(at, &head)?
            {
                let place = new.len + buf.len() as u64;
                segment.note(head.first, head.end, place, self.config.index_bytes);
                codec.put(&mut buf, new.len, head.with(&body));
            }
            let is_end = found == Found::End;
            if is_end {
                // Says where the items end, should the last of them be among those that are lost.
                put_lease(&codec, &mut buf, new.len, lease, stored);
            }
            if is_end || buf.len() >= COPY {
                new.write(&buf)?;
                buf.clear();
            }
            if is_end {
                new.sync(stored)?;
                segment.len = new.len;
                return Ok(segment);
            }
        }
    }
}
