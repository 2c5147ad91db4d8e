// Three scripts for node-redlock 4 and 5, which then take their locks with the commands of redis-lock. Same order of
// arguments, same answers: how many keys it was done to. They are functions: redlock takes no text in their place.

// Calls a command over all keys with the value, and the ttl if there is one. A key that an older client holds as a
// text is one that others hold, as it was for the script that stood here before.
const call = (command) => `
  local arguments = {'${command}', #KEYS}
  for _, key in ipairs(KEYS) do table.insert(arguments, key) end
  for _, argument in ipairs(ARGV) do table.insert(arguments, argument) end
  local reply = redis.pcall(unpack(arguments))
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, '^WRONGTYPE') then return 0 end
    return reply
  end`;

const acquireScript = () => `${call("LOCK.MACQUIRE")}
  return reply and #KEYS or 0`;

const extendScript = () => `${call("LOCK.MEXTEND")}
  return reply == 1 and #KEYS or 0`;

const releaseScript = () => `${call("LOCK.MRELEASE")}
  return reply`;

module.exports = { acquireScript, extendScript, releaseScript };
