"""The record of every study, on SQLite or PostgreSQL."""
