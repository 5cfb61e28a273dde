//! Text on a grid of characters, whatever shows them.

/// The characters of a screen.
pub trait Cells {
    /// Columns and rows.
    fn size(&self) -> (usize, usize);

    /// Sets a character; cells are counted line by line.
    fn set(&mut self, index: usize, character: u8);

    /// Moves all lines up by one; the last becomes blank.
    fn scroll(&mut self);

    /// Shows what has changed, where that takes more than changing it.
    fn show(&mut self) {}
}

/// A screen with a cursor of its own; the hardware's is left alone.
pub struct Screen<C> {
    /// What it shows.
    pub cells: C,
    column: usize,
    row: usize,
}

impl<C: Cells> Screen<C> {
    /// A screen to be written from the top.
    pub fn new(cells: C) -> Self {
        Self { cells, column: 0, row: 0 }
    }

    /// Writes text and shows it; what is not ASCII shows as a question mark.
    pub fn write(&mut self, bytes: &[u8]) {
        let (columns, rows) = self.cells.size();
        for byte in bytes {
            match byte {
                b'\r' => self.column = 0,
                b'\n' => self.column = columns,
                _ => {
                    let shown = if byte.is_ascii_graphic() || *byte == b' ' { *byte } else { b'?' };
                    self.cells.set(self.row * columns + self.column, shown);
                    self.column += 1;
                }
            }
            if self.column >= columns {
                self.column = 0;
                if self.row + 1 < rows {
                    self.row += 1;
                } else {
                    self.cells.scroll();
                }
            }
        }
        self.cells.show();
    }
}
