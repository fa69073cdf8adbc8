// node-redlock on ioredis. It has no default for the lease: 30 s, as others have.
'use strict'
const { default: Redlock } = require('redlock')
const converse = require('./converse')

const LEASE_MS = 30000

converse((nodes) => {
  const redlock = new Redlock(nodes)
  redlock.on('error', () => {}) // a node that is killed is part of a scene
  return {
    acquire: (name) => redlock.acquire([name], LEASE_MS),
    release: (lock) => lock.release(),
    // Extends by itself while the function that it is given runs.
    hold: (name, ttl) =>
      new Promise((resolve, reject) => {
        redlock.using([name], ttl, () => new Promise(resolve)).catch(reject)
      }),
  }
})
