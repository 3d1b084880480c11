"""The root gateway plus the region: database, library, enrolment, jobs."""
