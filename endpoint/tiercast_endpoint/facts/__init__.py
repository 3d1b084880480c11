"""What this machine is and has, and what that lets a job do."""
