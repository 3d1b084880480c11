"""What is ordered and what came of it: orders, times, targets, results, receipts, reasons to wait."""
