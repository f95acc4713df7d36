"""The Lua scripts of RedisStore. Each is one atomic step; each answers with a word, then what belongs to it.

Every script gets the key prefix as ARGV[1] and the id of a job or upload as ARGV[2]. Keys are computed from
them, so the scripts need one Redis server, not a cluster. Keys under the prefix:

    seq                       counter that orders lists
    job:ID                    hash; fields of JobRecord as JSON or text, plus seq, fence, lease_until, …
    jobs, jobs:STATUS         sorted sets of job ids by seq
    events:ID                 stream of one job's events
    idempotency:KEY           digest of the spec and id of the job that came with the key
    input:ID                  JSON of a ModelRecord or DatasetRecord
    inputs:KIND               sorted set of upload ids by seq
    uses:ID                   set of unfinished jobs that need an upload
    changes                   channel on which the ids of changed jobs are published
"""

from __future__ import annotations

from jobs.stores.base import EVENTS_KEPT, IDEMPOTENCY_SECONDS, REPUBLISH_DOUBLINGS

PRELUDE = f"""
local prefix, id = ARGV[1], ARGV[2]
local job = prefix .. 'job:' .. id
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function field(name) return redis.call('HGET', job, name) end

local function record() return redis.call('HGETALL', job) end

local function change(kind, data)
  redis.call('HINCRBY', job, 'version', 1)
  redis.call('XADD', prefix .. 'events:' .. id, 'MAXLEN', '~', {EVENTS_KEPT}, '*',
    'kind', kind, 'at', string.format('%.0f', now), 'data', data)
  redis.call('PUBLISH', prefix .. 'changes', id)
end

local function move(status)
  redis.call('ZREM', prefix .. 'jobs:' .. (field('status') or ''), id)
  redis.call('ZADD', prefix .. 'jobs:' .. status, field('seq'), id)
  redis.call('HSET', job, 'status', status)
end

local function finish(status, error)
  move(status)
  redis.call('HSET', job, 'finished_at', string.format('%.0f', now))
  for input in string.gmatch(field('inputs'), '%S+') do
    redis.call('SREM', prefix .. 'uses:' .. input, id)
  end
  if error == '' then
    change('status', '{{"status":"' .. status .. '"}}')
  else
    redis.call('HSET', job, 'error', error)
    change('status', '{{"status":"' .. status .. '","error":' .. error .. '}}')
  end
end

local function interrupt()
  if field('cancel_requested') == '1' then return finish('cancelled', '') end
  move('interrupted')
  redis.call('HSET', job, 'num_publications', 0)
  change('status', '{{"status":"interrupted"}}')
end

local function start()
  move('running')
  change('status', '{{"status":"running","attempt":' .. field('attempt') .. '}}')
end
"""

# ARGV: spec digest, idempotency key or '', spec, name as JSON, then pairs of field name and upload id
CREATE = """
if redis.call('EXISTS', job) == 1 then return {'created', record()} end
local digest, key = ARGV[3], prefix .. 'idempotency:' .. ARGV[4]
if ARGV[4] ~= '' then
  local known = redis.call('GET', key)
  if known then
    local known_digest, known_id = string.match(known, '^(%S+) (%S+)$')
    if known_digest ~= digest then return {'key-reused'} end
    return {'known', redis.call('HGETALL', prefix .. 'job:' .. known_id)}
  end
end
local inputs = {}
for i = 7, #ARGV, 2 do
  if redis.call('EXISTS', prefix .. 'input:' .. ARGV[i + 1]) == 0 then return {'missing', ARGV[i], ARGV[i + 1]} end
  table.insert(inputs, ARGV[i + 1])
end
for _, input in ipairs(inputs) do redis.call('SADD', prefix .. 'uses:' .. input, id) end
local seq = redis.call('INCR', prefix .. 'seq')
local at = string.format('%.0f', now)
redis.call('HSET', job, 'id', id, 'seq', seq, 'spec', ARGV[5], 'name', ARGV[6], 'attempt', 0, 'version', 0,
  'cancel_requested', 0, 'created_at', at, 'inputs', table.concat(inputs, ' '), 'idempotency_key', ARGV[4],
  'fence', 0, 'num_crashes', 0, 'lease_until', 0, 'published_at', at, 'num_publications', 1)
redis.call('ZADD', prefix .. 'jobs', seq, id)
move('queued')
if ARGV[4] ~= '' then redis.call('SET', key, digest .. ' ' .. id, 'EX', SECONDS) end
change('status', '{"status":"queued"}')
return {'created', record()}
""".replace("SECONDS", str(IDEMPOTENCY_SECONDS))

# ARGV: lease in milliseconds
CLAIM = """
local status = field('status')
if status ~= 'queued' and status ~= 'interrupted' then return {'refused'} end
local fence = redis.call('HINCRBY', job, 'fence', 1)
redis.call('HINCRBY', job, 'attempt', 1)
redis.call('HSET', job, 'lease_until', string.format('%.0f', now + ARGV[3]))
redis.call('HSETNX', job, 'started_at', string.format('%.0f', now))
start()
return {'claimed', record(), fence}
"""

# ARGV: fence, lease in milliseconds
RENEW = """
local status = field('status')
if field('fence') ~= ARGV[3] or (status ~= 'running' and status ~= 'interrupted') then return {'lost'} end
redis.call('HSET', job, 'lease_until', string.format('%.0f', now + ARGV[4]))
if status == 'interrupted' then start() end
return {'held', record()}
"""

# ARGV: fence, progress, metrics, event data
UPDATE_PROGRESS = """
if field('fence') ~= ARGV[3] or field('status') ~= 'running' then return {'lost'} end
redis.call('HSET', job, 'progress', ARGV[4], 'metrics', ARGV[5])
change('progress', ARGV[6])
return {'held'}
"""

# ARGV: fence, status, error or '', metrics, artifacts, goal_met, stopped_because
FINISH = """
if field('fence') ~= ARGV[3] or field('status') ~= 'running' then return {'lost'} end
redis.call('HSET', job, 'metrics', ARGV[6], 'artifacts', ARGV[7], 'goal_met', ARGV[8], 'stopped_because', ARGV[9])
finish(ARGV[4], ARGV[5])
return {'finished', record()}
"""

# ARGV: fence
RELEASE = """
if field('fence') ~= ARGV[3] or field('status') ~= 'running' then return {'lost'} end
interrupt()
return {'released', record()}
"""

# ARGV: most crashes, error of a job that had them
EXPIRE = """
if field('status') ~= 'running' or tonumber(field('lease_until')) > now then return {'kept'} end
local crashes = redis.call('HINCRBY', job, 'num_crashes', 1)
if field('cancel_requested') ~= '1' and crashes >= tonumber(ARGV[3]) then finish('failed', ARGV[4]) else interrupt() end
return {'expired', record()}
"""

# ARGV: milliseconds before the first repetition
TAKE_PUBLICATION = """
local status = field('status')
if status ~= 'queued' and status ~= 'interrupted' then return {'kept'} end
local count = tonumber(field('num_publications'))
local pause = ARGV[3] * 2 ^ math.min(math.max(count - 1, 0), DOUBLINGS)
if count > 0 and now < tonumber(field('published_at')) + pause then return {'kept'} end
redis.call('HSET', job, 'published_at', string.format('%.0f', now), 'num_publications', count + 1)
return {'taken'}
""".replace("DOUBLINGS", str(REPUBLISH_DOUBLINGS))

REQUEST_CANCEL = """
local status = field('status')
if not status then return {'missing'} end
if status == 'succeeded' or status == 'failed' or status == 'cancelled' then return {'finished', status} end
local asked = field('cancel_requested') == '1'
redis.call('HSET', job, 'cancel_requested', 1)
if status ~= 'running' then
  finish('cancelled', '')
elseif not asked then
  change('status', '{"status":"running","cancel_requested":true}')
end
return {'asked', record()}
"""

DELETE = """
local status = field('status')
if not status then return {'missing'} end
if status ~= 'succeeded' and status ~= 'failed' and status ~= 'cancelled' then return {'unfinished', status} end
if field('idempotency_key') ~= '' then redis.call('DEL', prefix .. 'idempotency:' .. field('idempotency_key')) end
redis.call('ZREM', prefix .. 'jobs', id)
redis.call('ZREM', prefix .. 'jobs:' .. status, id)
redis.call('DEL', job, prefix .. 'events:' .. id)
redis.call('PUBLISH', prefix .. 'changes', id)
return {'deleted'}
"""

# ARGV: kind, record
ADD_INPUT = """
local input = prefix .. 'input:' .. id
local known = redis.call('GET', input)
if known then return {'known', known} end
redis.call('SET', input, ARGV[4])
redis.call('ZADD', prefix .. 'inputs:' .. ARGV[3], redis.call('INCR', prefix .. 'seq'), id)
return {'added'}
"""

# ARGV: kind
DELETE_INPUT = """
if not redis.call('ZSCORE', prefix .. 'inputs:' .. ARGV[3], id) then return {'missing'} end
local users = redis.call('SMEMBERS', prefix .. 'uses:' .. id)
if #users > 0 then return {'needed', users[1]} end
redis.call('DEL', prefix .. 'input:' .. id)
redis.call('ZREM', prefix .. 'inputs:' .. ARGV[3], id)
return {'deleted'}
"""

SCRIPTS: dict[str, str] = {
    "create": CREATE,
    "claim": CLAIM,
    "renew": RENEW,
    "update_progress": UPDATE_PROGRESS,
    "finish": FINISH,
    "release": RELEASE,
    "expire": EXPIRE,
    "take_publication": TAKE_PUBLICATION,
    "request_cancel": REQUEST_CANCEL,
    "delete": DELETE,
    "add_input": ADD_INPUT,
    "delete_input": DELETE_INPUT,
}
