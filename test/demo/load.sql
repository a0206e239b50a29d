-- One batch of ticks from psql's standard input.
\copy market_data ("timestamp", instrument_id, price, bid, ask) FROM PSTDIN (FORMAT csv)
