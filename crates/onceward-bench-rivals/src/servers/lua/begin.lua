-- KEYS: identity, fence counter. ARGV: fingerprint (32 bytes), attempt id (16 bytes), lease in ms.
-- Record: 'P' fingerprint attempt fence, or 'C' fingerprint result. The lease is the record's own
-- expiry. Answers the result; or the fence to whoever owns the key, 0 for in progress, -1 for
-- another payload.
local held = redis.call('GET', KEYS[1])
if not held then
  local fence = redis.call('INCR', KEYS[2])
  redis.call('SET', KEYS[1], 'P' .. ARGV[1] .. ARGV[2] .. fence, 'PX', ARGV[3])
  return fence
end
if string.sub(held, 2, 33) ~= ARGV[1] then return -1 end
if string.byte(held) == 67 then return string.sub(held, 34) end
if string.sub(held, 34, 49) == ARGV[2] then return tonumber(string.sub(held, 50)) end
return 0
