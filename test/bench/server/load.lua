-- Read by wrk: asks for all hosts in turn, and says at the end what it saw as one line of JSON.
local requests, at = {}, 0
for r in io.open(os.getenv("REQUESTS"), "rb"):read("*a"):gmatch("[^%z]+") do requests[#requests + 1] = r end
local count = #requests
-- A stride without common divisor with 1, 1000 and 10000 visits every host, and no two neighbours.
local stride = 7919 % count

function request()
  at = (at + stride) % count
  return requests[at + 1]
end

local pause = tonumber(os.getenv("PAUSE"))
if pause > 0 then
  function delay() return math.random(1, 2 * pause - 1) end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\n{"Requests":%d,"Micros":%d,"Errors":%d,"P50":%d,"P99":%d}\n', summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
