'use strict'
// kafkajs under the contract of README.md beside run.sh.
const { readFileSync, writeFileSync } = require('fs')
const assert = require('assert')
const { AssignerProtocol, Kafka, Partitioners, logLevel } = require('kafkajs')
const codecs = require('./codecs')
const { c, record, Tally } = require('./contract')

const patience = 60000 // milliseconds that a step may wait for records
const kafka = new Kafka({ brokers: [c.bootstrap], logLevel: logLevel.ERROR })
const admin = kafka.admin()

async function step(name, action) {
  try {
    console.log('ok', name, await action())
  } catch (e) {
    console.log('FAIL', name, String(e.message).replaceAll('\n', ' '))
    throw e
  }
}

async function produce({ codec, idempotent, first }) {
  const producer = kafka.producer({ idempotent, createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  for (let from = first; from < first + c.records; from += 500) {
    const messages = Array.from({ length: Math.min(500, first + c.records - from) }, (_, n) => record(codec, from + n))
    await producer.send({ topic: c.topic, acks: -1, compression: codecs.types[codec], messages })
  }
  await producer.disconnect()
  return `${c.records} records`
}

// read runs a consumer of a group until the tally has count records, calls done with it, and leaves.
async function read(topic, group, tally, count, { seek = null, done = async () => {} } = {}) {
  const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 200 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  try {
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${tally.seen.size} of ${count} records came`)), patience)
      const end = settle => x => { clearTimeout(timer); settle(x) }
      consumer.on(consumer.events.CRASH, e => end(reject)(e.payload.error))
      consumer.run({
        autoCommit: false,
        eachBatch: async ({ batch }) => {
          try {
            batch.messages.forEach(m => tally.add(batch.partition, m))
            if (tally.seen.size >= count) end(resolve)()
          } catch (e) {
            end(reject)(e)
          }
        },
      }).catch(end(reject))
      for (const [partition, offset] of Object.entries(seek ?? {})) {
        consumer.seek({ topic, partition: Number(partition), offset: String(offset) })
      }
    })
    await done(consumer)
  } finally {
    await consumer.disconnect()
  }
}

const byPartition = list => Object.fromEntries(list.map(p => [p.partition, Number(p.offset)]))

async function ends() {
  const offsets = await admin.fetchTopicOffsets(c.topic)
  return Object.fromEntries(offsets.map(p => [p.partition, Number(p.high)]))
}

async function committed() {
  const [{ partitions }] = await admin.fetchOffsets({ groupId: c.group, topics: [c.topic] })
  return byPartition(partitions)
}

async function commit(consumer, offsets) {
  const list = Object.entries(offsets).map(([partition, offset]) => ({ topic: c.topic, partition: Number(partition), offset: String(offset) }))
  await consumer.commitOffsets(list)
  assert.deepStrictEqual(await committed(), offsets, 'committed offsets read back')
}

async function create() {
  await admin.createTopics({ topics: [{ topic: c.topic, numPartitions: c.partitions, replicationFactor: c.replication }] })
  const { topics: [{ partitions }] } = await admin.fetchTopicMetadata({ topics: [c.topic] })
  assert.strictEqual(partitions.length, c.partitions, 'number of partitions')
  return `${partitions.length} partitions`
}

async function consumeAndCommitHalf() {
  const starts = Object.fromEntries(Array.from({ length: c.partitions }, (_, p) => [p, 0]))
  const tally = new Tally(c.topic, 0, c.total, starts)
  const done = async consumer => {
    await step('consume', async () => {
      assert.deepStrictEqual(tally.next, await ends(), 'read up to the ends')
      return `${c.total} records, each once`
    })
    await step('commit', async () => {
      const half = Object.fromEntries(Object.entries(await ends()).map(([p, end]) => [p, Math.floor(end / 2)]))
      await commit(consumer, half)
      writeFileSync(c.state, JSON.stringify(half))
      return JSON.stringify(half)
    })
  }
  await read(c.topic, c.group, tally, c.total, { done })
}

async function fromTime() {
  const first = Math.floor(c.total / 2) + 3
  const seek = byPartition(await admin.fetchTopicOffsetsByTimestamp(c.topic, c.baseTime + first))
  await read(c.topic, `${c.group}-time`, new Tally(c.topic, first, c.total, seek), c.total - first, { seek })
  return `${c.total - first} records from record ${first}'s time`
}

async function resume() {
  const from = JSON.parse(readFileSync(c.state))
  assert.deepStrictEqual(await committed(), from, 'committed offsets after the crash')
  const end = await ends()
  const sum = o => Object.values(o).reduce((a, b) => a + b, 0)
  assert.strictEqual(sum(end), c.total + c.records, 'sum of the end offsets')
  const left = sum(end) - sum(from)
  const tally = new Tally(c.topic, 0, c.total + c.records, from)
  await read(c.topic, c.group, tally, left, { done: consumer => commit(consumer, end) })
  return `${left} records from the committed offsets on`
}

async function readPeers() {
  for (const { topic, total } of c.peers) {
    await read(topic, `${c.group}-peers`, new Tally(topic, 0, total), total)
  }
  return `read ${c.peers.map(p => p.topic).join(' ')}`
}

const say = (...words) => console.log(words.join('\t'))

// range assigns as Kafka's RangeAssignor does, one topic: kafkajs has only an assigner of its own, and all members of a group
// must have one in common.
const range = ({ cluster }) => ({
  name: 'range',
  version: 0,
  async assign({ members, topics: [topic] }) {
    const partitions = cluster.findTopicPartitionMetadata(topic).map(p => p.partitionId).sort((a, b) => a - b)
    const ids = members.map(m => m.memberId).sort()
    const share = Math.floor(partitions.length / ids.length), more = partitions.length % ids.length
    return ids.map((memberId, i) => {
      const from = i * share + Math.min(i, more)
      const assignment = { [topic]: partitions.slice(from, from + share + (i < more ? 1 : 0)) }
      return { memberId, memberAssignment: AssignerProtocol.MemberAssignment.encode({ version: 0, assignment, userData: Buffer.alloc(0) }) }
    })
  },
  protocol({ topics }) {
    return { name: this.name, metadata: AssignerProtocol.MemberMetadata.encode({ version: this.version, topics, userData: Buffer.alloc(0) }) }
  },
})

// member is one of a group until SIGTERM. README.md says what it prints.
async function member() {
  assert.deepStrictEqual([process.env.MEMBER_PROTOCOL, process.env.MEMBER_ASSIGNOR], ['classic', 'range'])
  const session = Number(process.env.MEMBER_SESSION)
  const consumer = kafka.consumer({
    groupId: c.group, maxWaitTimeInMs: 200, partitionAssigners: [range], sessionTimeout: session, heartbeatInterval: session / 5,
  })
  let owned = []
  const gives = () => { say('-', Date.now(), owned.join(',')); owned = [] }
  consumer.on(consumer.events.REBALANCING, gives)
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    gives() // it says nothing when it was expelled
    owned = payload.memberAssignment[c.topic] ?? []
    say('+', Date.now(), owned.join(','))
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [c.topic], fromBeginning: true })
  const stopped = new Promise(resolve => process.on('SIGTERM', resolve))
  await consumer.run({ eachMessage: async ({ partition, message }) => say('r', partition, message.offset, message.key, message.value) })
  await stopped
  await consumer.disconnect()
}

const phases = {
  async 1() {
    await step('version', async () => require('kafkajs/package.json').version)
    await step('create', create)
    for (const s of c.steps) await step(s.name, () => produce(s))
    await consumeAndCommitHalf()
    await step('time', fromTime)
  },
  async 2() {
    await step('after', () => produce(c.after))
    await step('resume', resume)
  },
  3: () => step('peers', readPeers),
  member,
}

async function main() {
  await codecs.register()
  await admin.connect()
  await phases[c.phase]()
  await admin.disconnect()
}

main().then(() => process.exit(0), e => { console.error(e); process.exit(1) })
