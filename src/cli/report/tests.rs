//! A run as text and as a page, from made-up events.
