"""What alembic runs: the migrations, on the connection and in the transaction it is handed."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite can do it; alembic assumes drivers that commit before DDL, which ours does not.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
