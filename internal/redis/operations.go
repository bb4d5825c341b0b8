package redis

import (
	"context"
	"encoding/base64"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// replayKey is a key of one bucket. The braces put all keys of a bucket into
// one slot of a cluster, the epoch among them.
func (s *session) replayKey(bucket int, name string) string {
	return s.options.Prefix + "replay:{" + strconv.Itoa(bucket) + "}:" + name
}

// First remembers key for ttl and reports true unless it is remembered
// already, in one atomic step. since is the second in which the memory that
// answered began, by our clock: it cannot know of a use before that, so the
// caller must refuse what may have been used by then.
//
// The order matters. SET comes before the epoch is read, over the same
// connection: a memory that is lost between the two answers with its new epoch,
// or with none, and then a new one begins now. Read first, the epoch could be
// that of a memory which is gone when SET is done in an empty one.
func (c *Client) First(ctx context.Context, key [32]byte, ttl time.Duration) (first bool, since time.Time, err error) {
	err = c.do(ctx, func(ctx context.Context, s *session) error {
		bucket := int(key[0]) % len(s.epochs)
		name := s.replayKey(bucket, base64.RawURLEncoding.EncodeToString(key[:]))
		b := s.client.B()
		answers := s.client.DoMulti(ctx,
			b.Set().Key(name).Value("1").Nx().PxMilliseconds(max(ttl.Milliseconds(), 1)).Build(),
			b.Get().Key(s.epochs[bucket]).Build())
		switch err := answers[0].Error(); {
		case err == nil:
			first = true
		case !rueidis.IsRedisNil(err):
			return err
		}
		epoch, err := answers[1].ToString()
		if rueidis.IsRedisNil(err) {
			since, err = s.begin(ctx, bucket)
		} else if err == nil {
			since, err = s.second(bucket, epoch)
		}
		if err == nil && !s.trusted() {
			return ErrUnavailable // answered over a connection nobody judged yet
		}
		return err
	})
	return first && err == nil, since, err
}

// Get returns what is stored under key. An empty value counts as none, and one
// over MaxValue is an error of which no more is read.
func (c *Client) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	err = c.do(ctx, func(ctx context.Context, s *session) error {
		value, err = s.client.Do(ctx, s.client.B().Getrange().Key(c.options.Prefix+key).Start(0).End(MaxValue).Build()).AsBytes()
		if err == nil && len(value) > MaxValue {
			return ErrTooLarge
		}
		return err
	})
	if err != nil || len(value) == 0 {
		return nil, false, err
	}
	return value, true, nil
}

// Set stores value under key for ttl; for ever with 0.
func (c *Client) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if len(value) > MaxValue {
		return ErrTooLarge
	}
	return c.do(ctx, func(ctx context.Context, s *session) error {
		set := s.client.B().Set().Key(c.options.Prefix + key).Value(rueidis.BinaryString(value))
		if ttl <= 0 {
			return s.client.Do(ctx, set.Build()).Error()
		}
		return s.client.Do(ctx, set.PxMilliseconds(max(ttl.Milliseconds(), 1)).Build()).Error()
	})
}

// Fields returns all fields under key, none where there is no such key. More
// than MaxFields, or MaxValue octets in all, are an error.
func (c *Client) Fields(ctx context.Context, key string) (fields map[string]string, err error) {
	err = c.do(ctx, func(ctx context.Context, s *session) error {
		count, err := s.client.Do(ctx, s.client.B().Hlen().Key(c.options.Prefix+key).Build()).AsInt64()
		if err != nil {
			return err
		}
		if count > MaxFields {
			return ErrTooLarge
		}
		fields, err = s.client.Do(ctx, s.client.B().Hgetall().Key(c.options.Prefix+key).Build()).AsStrMap()
		if err != nil {
			return err
		}
		size := 0
		for name, value := range fields {
			size += len(name) + len(value)
		}
		if len(fields) > MaxFields || size > MaxValue {
			return ErrTooLarge
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return fields, nil
}

// SetField stores one field under key.
func (c *Client) SetField(ctx context.Context, key, field, value string) error {
	return c.do(ctx, func(ctx context.Context, s *session) error {
		return s.client.Do(ctx, s.client.B().Hset().Key(c.options.Prefix+key).FieldValue().FieldValue(field, value).Build()).Error()
	})
}

// DeleteFields removes fields under key. What is not there is no error.
func (c *Client) DeleteFields(ctx context.Context, key string, fields ...string) error {
	if len(fields) == 0 {
		return nil
	}
	return c.do(ctx, func(ctx context.Context, s *session) error {
		return s.client.Do(ctx, s.client.B().Hdel().Key(c.options.Prefix+key).Field(fields...).Build()).Error()
	})
}

// Publish sends message to all that listen on channel now.
func (c *Client) Publish(ctx context.Context, channel, message string) error {
	return c.do(ctx, func(ctx context.Context, s *session) error {
		return s.client.Do(ctx, s.client.B().Publish().Channel(c.options.Prefix+channel).Message(message).Build()).Error()
	})
}

// Subscribe hands every message on channel to got until ctx ends or c is
// closed, connecting again each time it has to. A message sent meanwhile is
// lost, so got is also called with "" whenever listening begins (again): then
// look for yourself. got must not wait. Messages over MaxValue are left out.
func (c *Client) Subscribe(ctx context.Context, channel string, got func(message string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	for ctx.Err() == nil {
		c.listen(ctx, channel, got)
		rest(ctx, shortest+rand.N(longest/2))
	}
	if c.ctx.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}

// listen hands on messages over a connection of its own, until it ends. It is
// asked for a sign of life each second, since a dead one is as silent as a
// channel without news.
func (c *Client) listen(ctx context.Context, channel string, got func(message string)) {
	s := newSession(&c.options)
	o := c.settings(s)
	o.Dialer.KeepAlive = interval
	client, err := rueidis.NewClient(o)
	s.client = client
	defer s.close()
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, s.cut)()
	listening := rueidis.WithOnSubscriptionHook(ctx, func(p rueidis.PubSubSubscription) {
		if p.Kind == "subscribe" {
			got("")
		}
	})
	_ = client.Receive(listening, client.B().Subscribe().Channel(c.options.Prefix+channel).Build(), func(m rueidis.PubSubMessage) {
		if m.Message != "" && len(m.Message) <= MaxValue {
			got(m.Message)
		}
	}) // whatever ended it, the caller wants another one
}
