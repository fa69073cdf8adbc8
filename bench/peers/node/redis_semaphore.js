// redis-semaphore on ioredis: Mutex on one node, RedlockMutex on several. Both renew by themselves.
'use strict'
const { Mutex, RedlockMutex } = require('redis-semaphore')
const converse = require('./converse')

converse((nodes) => {
  const create = (name, options) =>
    nodes.length === 1 ? new Mutex(nodes[0], name, options) : new RedlockMutex(nodes, name, options)
  const acquire = async (name, options) => {
    const mutex = create(name, options)
    await mutex.acquire()
    return mutex
  }
  const held = []
  return {
    acquire,
    release: (mutex) => mutex.release(),
    hold: async (name, ttl) => held.push(await acquire(name, { lockTimeout: ttl })),
  }
})
