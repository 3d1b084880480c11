"""What is shown: words, figures, tables, bars, and jobs as they move."""
