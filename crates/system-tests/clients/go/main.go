// A client of `weir producer` as barito-router is one: grpc-go, zstd, the context of an app beside items whose own
// contexts are empty. It makes one call and prints what came of it as a line of JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mostynb/go-grpc-compression/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	producer "weir/clients/go/generated"
)

// How long an answer may take on a busy machine.
const patience = 2 * time.Minute

type outcome struct {
	Topic   string `json:"topic"`
	Code    uint32 `json:"code"`
	Message string `json:"message"`
}

func main() {
	address := flag.String("address", "", "where the producer listens")
	batch := flag.Int("batch", 0, "events of a ProduceBatch; 0 is one Produce")
	topic := flag.String("topic", "", "kafka_topic")
	tps := flag.Int("tps", 0, "app_max_tps")
	bytes := flag.Int("bytes", 10, "length of the message of an event")
	flag.Parse()
	if err := run(*address, *batch, profile(*topic, int32(*tps)), *bytes); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address string, batch int, profile *producer.TimberContext, bytes int) error {
	compressed := grpc.WithDefaultCallOptions(grpc.UseCompressor(zstd.Name))
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), compressed)
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	result, err := produce(ctx, producer.NewProducerClient(connection), batch, profile, bytes)
	status, isStatus := status.FromError(err)
	if !isStatus {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(outcome{result.GetTopic(), uint32(status.Code()), status.Message()})
}

func produce(
	ctx context.Context, client producer.ProducerClient, batch int, profile *producer.TimberContext, bytes int,
) (*producer.ProduceResult, error) {
	if batch == 0 {
		event, err := timber(0, bytes)
		if err != nil {
			return nil, err
		}
		event.Context = profile
		return client.Produce(ctx, event)
	}
	collection := &producer.TimberCollection{Context: profile}
	for number := 0; number < batch; number++ {
		event, err := timber(number, bytes)
		if err != nil {
			return nil, err
		}
		event.Context = &producer.TimberContext{}
		collection.Items = append(collection.Items, event)
	}
	return client.ProduceBatch(ctx, collection)
}

func timber(number, bytes int) (*producer.Timber, error) {
	content, err := structpb.NewStruct(map[string]any{
		"number":  number,
		"message": strings.Repeat("x", bytes),
		"tags":    []any{"a", nil, true},
	})
	return &producer.Timber{Content: content}, err
}

func profile(topic string, tps int32) *producer.TimberContext {
	return &producer.TimberContext{
		KafkaTopic:             topic,
		KafkaPartition:         50,
		KafkaReplicationFactor: 1,
		EsIndexPrefix:          topic,
		EsDocumentType:         "barito",
		AppMaxTps:              tps,
		AppSecret:              "secret",
	}
}
