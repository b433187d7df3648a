//! Reports of what the suite found: for a terminal, for machines, for continuous integration and for a browser.
