//! What riskgate says of itself: metrics, audit lines, logs. Reads the finished Assessment; nothing below knows of it.
