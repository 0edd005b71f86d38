-- Times are milliseconds since 1970. Numbers are never given twice, so that one kept
-- elsewhere cannot come to mean another row.

CREATE TABLE chat (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The same in every export of this chat.
    origin TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL DEFAULT '',
    -- The person named it; otherwise the title follows the first prompt.
    named INTEGER NOT NULL DEFAULT 0,
    folder TEXT NOT NULL DEFAULT '',
    pinned INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    opened INTEGER NOT NULL DEFAULT 0,
    -- When it was thrown away; it can be taken back until it is purged.
    deleted INTEGER,
    -- The last message of the branch that is shown.
    leaf INTEGER,
    draft TEXT NOT NULL DEFAULT '',
    settings TEXT NOT NULL DEFAULT '{}'
);

CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    chat INTEGER NOT NULL REFERENCES chat (id) ON DELETE CASCADE,
    -- No foreign key: a message whose parent was damaged is still there.
    parent INTEGER,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    created INTEGER NOT NULL,
    state TEXT NOT NULL,
    -- Which process writes it, while it is written.
    writer TEXT,
    -- The rest as JSON: files, figures, how it ended.
    details TEXT NOT NULL DEFAULT '{}'
);

CREATE INDEX message_by_chat ON message (chat, parent);
CREATE INDEX message_being_written ON message (writer) WHERE writer IS NOT NULL;
