"""What decisions are made with: catalogue, features and models that fit together, renewed while serving."""
