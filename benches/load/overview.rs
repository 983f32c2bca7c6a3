//! One table over all parts: a row for each peer, a column for each number that stands for a part.

use crate::support::report::table;

/// What the parts told, in the order in which they did.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    columns: Vec<String>,
    peers: Vec<String>,
    /// Column, peer and number, the first two by their places.
    cells: Vec<(usize, usize, String)>,
}

impl Overview {
    /// Puts a peer's number into a column; both come into being by it.
    pub(crate) fn tell(&mut self, column: &str, peer: &str, number: String) {
        let place = (of(&mut self.columns, column), of(&mut self.peers, peer));
        self.cells.push((place.0, place.1, number));
    }

    /// The table, where there is something to tell.
    pub(crate) fn table(&self) -> Option<String> {
        if self.cells.is_empty() {
            return None;
        }
        let mut rows = vec![vec![String::new()]];
        rows.extend(self.peers.iter().map(|peer| vec![peer.clone()]));
        let (head, rest) = rows.split_first_mut()?;
        head.extend(self.columns.iter().cloned());
        for row in rest.iter_mut() {
            row.resize(self.columns.len() + 1, "-".to_owned());
        }
        for (column, peer, number) in &self.cells {
            if let Some(cell) = rest.get_mut(*peer).and_then(|row| row.get_mut(column + 1)) {
                cell.clone_from(number);
            }
        }
        Some(table(&rows))
    }
}

/// The place of a name, which is added where it is new.
fn of(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}
