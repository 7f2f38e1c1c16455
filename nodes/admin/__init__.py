"""The `concord` command: one file per noun. Commands ask the running node; they never open its store."""
