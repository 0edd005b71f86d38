-- Full-text search. The index holds its own copy of the text, so that a damaged message
-- cannot take it out of step. A message comes in when nobody writes on it any more.

CREATE VIRTUAL TABLE message_text USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2');

-- Words of a chat that is gone do not stay in the index.
INSERT INTO message_text (message_text, rank) VALUES ('secure-delete', 1);

INSERT INTO message_text (rowid, text)
SELECT id, text FROM message WHERE writer IS NULL AND typeof(text) = 'text';

CREATE TRIGGER message_indexed AFTER INSERT ON message WHEN new.writer IS NULL
BEGIN
    INSERT INTO message_text (rowid, text) VALUES (new.id, new.text);
END;

CREATE TRIGGER message_indexed_again AFTER UPDATE OF text, writer ON message
WHEN new.writer IS NULL AND (old.writer IS NOT NULL OR old.text IS NOT new.text)
BEGIN
    DELETE FROM message_text WHERE rowid = new.id;
    INSERT INTO message_text (rowid, text) VALUES (new.id, new.text);
END;

CREATE TRIGGER message_forgotten AFTER DELETE ON message
BEGIN
    DELETE FROM message_text WHERE rowid = old.id;
END;
