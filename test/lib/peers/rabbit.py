#!/usr/bin/python3
"""Looks into RabbitMQ for tests (pika).

  rabbit.py URL declare QUEUE          bound to exchange auth_session with "#"
  rabbit.py URL full QUEUE             the same, but it takes no message
  rabbit.py URL take QUEUE             takes all messages there are, and prints
                                      each as one JSON object per line
  rabbit.py URL ids QUEUE             the same, but prints only the message ids
                                      ("wrong": another one than in the body)
  rabbit.py URL count QUEUE            how many are ready
  rabbit.py URL publish QUEUE          standard input as one message to QUEUE
  rabbit.py URL delete QUEUE
"""
import json
import sys

import pika

url, command, queue = sys.argv[1:4]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
if command in ("declare", "full"):
    channel.exchange_declare("auth_session", "topic", durable=True)
    channel.queue_declare(queue, durable=True, arguments={
        "x-max-length": 1, "x-overflow": "reject-publish"} if command == "full" else {})
    channel.queue_bind(queue, "auth_session", "#")
    for i in range(3 if command == "full" else 0):
        channel.basic_publish("", queue, b"full")
elif command == "count":
    print(channel.queue_declare(queue, passive=True).method.message_count)
elif command == "publish":
    channel.basic_publish("", queue, sys.stdin.buffer.read(),
                          pika.BasicProperties(delivery_mode=2))
elif command == "delete":
    channel.queue_delete(queue)
elif command in ("take", "ids"):
    out = []
    left = channel.queue_declare(queue, passive=True).method.message_count
    channel.basic_qos(prefetch_count=1000)
    for method, properties, body in channel.consume(queue) if left else ():
        text = body.decode("utf-8", "replace")
        if command == "ids":
            same = json.loads(text)["id"] == properties.message_id
            out.append(properties.message_id if same else "wrong")
        else:
            headers = properties.headers or {}
            out.append(json.dumps({
                "exchange": method.exchange,
                "routing_key": method.routing_key,
                "message_id": properties.message_id,
                "content_type": properties.content_type,
                "delivery_mode": properties.delivery_mode,
                "type": properties.type,
                "app_id": properties.app_id,
                "expiration": properties.expiration,
                "headers": {k: repr(v) for k, v in headers.items()},
                "body": text}))
        left -= 1
        if left % 500 == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if left == 0:
            break
    channel.cancel()
    sys.stdout.writelines(line + "\n" for line in out)
else:
    sys.exit("unknown command")
connection.close()
