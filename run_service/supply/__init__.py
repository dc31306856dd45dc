"""What the router serves from: the routes that the deploy service streams, and replicas of what is live."""
