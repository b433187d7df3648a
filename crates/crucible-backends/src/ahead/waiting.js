// What Node.js runs in the place of a program that isn't there yet: it becomes one program, in this process. The order to do so is
// the first that it reads of its standard input, and no byte more than the order has.
function (preload) {
  'use strict';
  const fs = require('fs');
  const Module = require('module');
  const path = require('path');
  for (const name of preload) {
    if (!Module.builtinModules.includes(name.replace(/^node:/, ''))) throw new Error(`${name} in \`preload\` is none of Node.js's own modules`);
    require(name);
    // Such as `assert`, which opens the standard error: a program's own writes to it would no longer wait for who reads.
    if (process.getActiveResourcesInfo().length) throw new Error(`${name} in \`preload\` opens files that are the program's to open`);
  }
  const read = (count) => {
    const bytes = Buffer.alloc(count);
    for (let at = 0; at < count;) {
      const came = fs.readSync(0, bytes, at, count - at, null);
      // Nobody needs it any more.
      if (came === 0) process.reallyExit(0);
      at += came;
    }
    return bytes;
  };
  // The file that it was started by: nothing is to lie where the program's files come to, and nothing to be known of it.
  fs.unlinkSync(__filename);
  delete require.cache[__filename];
  Module._pathCache = Object.create(null);
  fs.writeSync(1, 'waiting\n');
  const order = read(read(4).readUInt32LE(0));
  const count = order.readUInt32LE(0);
  const words = order.toString('utf8', 4).split('\0');
  const variables = words.slice(count);
  const [file, ...args] = words.slice(0, count);
  process.argv.splice(1, process.argv.length, path.resolve(file), ...args);
  for (const name of Object.keys(process.env)) delete process.env[name];
  for (const variable of variables) {
    const end = variable.indexOf('=');
    process.env[variable.slice(0, end)] = variable.slice(end + 1);
  }
  process.mainModule = undefined;
  // Not from here: the program's calls are to have nobody above them but Node.js.
  process.nextTick(Module.runMain);
}
