-- KEYS: identity. ARGV: the owner's whole record, the record to store, retention in ms.
-- Answers 1, or 0 to whoever no longer owns the key.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
