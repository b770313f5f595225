"""Evidence: signatures, signed agreements, receipts and the ledger, without input or output."""
