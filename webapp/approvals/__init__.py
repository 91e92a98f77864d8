"""The gates that wait for a decision, and the decided ones."""
