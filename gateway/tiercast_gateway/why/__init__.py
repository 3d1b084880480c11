"""Why a job has not ended, put together over the tiers."""
