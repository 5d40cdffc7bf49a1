//! What plait says of itself in a process: its role, and the tasks that its threads run.
