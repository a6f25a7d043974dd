'use strict';
// Reads [{txt, body}] from standard input and prints what mailauth makes of each, strictly and laxly.
const { parsePolicy, resolvePolicy } = require('mailauth/lib/mta-sts.js');

async function read(item, strict) {
  const out = {};
  if (item.txt !== undefined) {
    try {
      out.id = (await resolvePolicy('example.com', { strict, resolver: async () => [[item.txt]] })) || '';
      if (!out.id) out.error = 'no record';
    } catch (error) {
      out.error = String(error);
    }
  }
  if (item.body !== undefined) {
    try {
      const policy = parsePolicy(item.body, { strict });
      out.policy = { mode: policy.mode, maxAge: policy.maxAge, mx: policy.mx || [] };
    } catch (error) {
      out.error = String(error);
    }
  }
  return out;
}

async function main() {
  const items = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const answers = [];
  for (const item of items) answers.push({ strict: await read(item, true), lax: await read(item, false) });
  console.log(JSON.stringify(answers));
}

main();
