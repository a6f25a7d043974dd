-- MTASTSPolicy follows kstatus: status.observedGeneration, and the conditions Ready, Reconciling and
-- Stalled, the last two of which are present only while they are True.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator to see the policy as it is now" }
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function is(kind, value)
  return conditions[kind] ~= nil and conditions[kind].status == value
end
local function health(code, kind)
  return { status = code, message = conditions[kind].message }
end

if is("Reconciling", "True") then
  return health("Progressing", "Reconciling")
end
if is("Stalled", "True") then
  return health("Degraded", "Stalled")
end
if is("Ready", "False") then
  return health("Degraded", "Ready")
end
-- What was wanted is in force, and senders refuse a live mail server because of it.
local mode = status.policy and status.policy.mode
if mode == "enforce" and is("MXAligned", "False") then
  return health("Degraded", "MXAligned")
end
if is("Ready", "True") then
  return health("Healthy", "Ready")
end
return { status = "Progressing", message = "Waiting for the operator to report" }
