-- MTASTSPublication follows kstatus. While it follows a policy it has no conditions: the policy's own say
-- more. Without a policy it has exactly one: Reconciling while it retires, which takes as long as senders
-- may hold what was published, Stalled if that cannot go on, or Ready if it was orphaned on purpose.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator to report" }
end

local condition = (status.conditions or {})[1]
if condition == nil then
  local policy = obj.spec.policyRef and obj.spec.policyRef.name or "unknown"
  return { status = "Healthy", message = "Follows MTASTSPolicy " .. policy .. ", which says how the domain fares" }
end
local codes = { Reconciling = "Progressing", Stalled = "Degraded", Ready = "Healthy" }
return { status = codes[condition.type] or "Progressing", message = condition.message }
