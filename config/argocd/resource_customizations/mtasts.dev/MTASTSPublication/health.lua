-- MTASTSPublication follows kstatus. While it follows a policy its status is empty: the policy's own says
-- more. Without a policy it has exactly one condition: Reconciling while it retires, which takes as long as
-- senders may hold what was published, Stalled if that cannot go on, or Ready if it was orphaned on purpose.
local status = obj.status or {}
local condition = (status.conditions or {})[1]
if condition == nil and obj.spec.policyRef then
  local message = "Follows MTASTSPolicy " .. obj.spec.policyRef.name .. ", which says how the domain fares"
  return { status = "Healthy", message = message }
end
if condition == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator to report" }
end

local codes = { Reconciling = "Progressing", Stalled = "Degraded", Ready = "Healthy" }
return { status = codes[condition.type] or "Progressing", message = condition.message }
