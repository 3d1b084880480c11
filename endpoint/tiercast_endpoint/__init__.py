"""The endpoint agent: staging, install, removal, receipts."""
